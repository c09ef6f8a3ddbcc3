"""The rules that end a run before its last step."""

import pytest

from research.config import ConfigError
from research.training.stopping import Stopping, Watch


def _first_stop(watch, losses, norms=None):
  for i, loss in enumerate(losses):
    reason = watch.logged(loss, norms[i] if norms else 1.0)
    if reason:
      return i, reason
  return None


def test_a_small_gradient_means_a_stationary_loss():
  index, reason = _first_stop(Watch(Stopping(gradient_norm=0.1), "lower"), [3, 2, 1], [1, 0.5, 0.05])
  assert index == 2 and "gradient norm" in reason


def test_relative_improvement_looks_back_over_its_window():
  losses = [2.0**-i for i in range(10)] + [2.0**-9 * (1 - 0.0001 * i) for i in range(10)]
  index, reason = _first_stop(Watch(Stopping(relative_improvement=0.01, window=3), "lower"), losses)
  assert index == 12 and "fell by less than 0.01" in reason


def test_a_plateau_is_so_many_lines_without_a_new_lowest_loss():
  index, _ = _first_stop(Watch(Stopping(plateau=3), "lower"), [5, 4, 4.5, 4.1, 3.9, 4, 4, 4])
  assert index == 7


def test_falling_losses_stop_nothing():
  rules = Stopping(gradient_norm=1e-9, relative_improvement=0.01, plateau=3)
  assert _first_stop(Watch(rules, "lower"), [0.9**i for i in range(50)]) is None


@pytest.mark.parametrize(("better", "sign"), [("lower", 1), ("higher", -1)])
def test_early_stopping_counts_evaluations_since_the_best(better, sign):
  watch = Watch(Stopping(patience=2), better)
  reasons = [watch.evaluated(step, sign * value) for step, value in enumerate([3, 2, 2.5, 1, 1.5, 1.2])]
  assert [bool(r) for r in reasons] == [False, False, False, False, False, True]
  assert watch.best_step == 3


def test_a_restored_watch_stops_where_the_first_would_have():
  rules = Stopping(plateau=4)
  losses = [5, 4, 3, 3.5, 3.5, 3.5, 3.5, 3.5]
  whole = _first_stop(Watch(rules, "lower"), losses)
  first, second = Watch(rules, "lower"), Watch(rules, "lower")
  assert _first_stop(first, losses[:4]) is None
  second.restore(first.state())
  assert _first_stop(second, losses[4:])[0] + 4 == whole[0]


def test_rules_below_zero_are_refused():
  with pytest.raises(ConfigError):
    Stopping(patience=0)
