import numpy as np
import pytest
from toy import quick

from research.config import ConfigError
from research.decoding.constraints import NONE, Constraints
from research.decoding.timestamps import Timestamps

# Text 0..4, the end 5, others 6 and "no timestamps" 7, times 8..15.
END, FIRST, NUM_TOKENS, WIDTH = 5, 8, 16, 3


def allowed_by_hand(scores, said, max_initial):
  """Which tokens may come after `said`, from the words of the rules."""
  may = np.ones(NUM_TOKENS, bool)
  may[FIRST - 1] = False
  times = [token for token in said if token >= FIRST]
  if not said:
    may[:FIRST] = False
    may[FIRST + max_initial + 1:] = False
  else:
    pair_open = said[-1] >= FIRST and not (len(said) == 1 or said[-2] >= FIRST)
    if said[-1] >= FIRST and not pair_open:
      may[FIRST:] = False  # a piece has begun: now text
    if pair_open:
      may[:END] = False  # a piece has ended: the next begins, or all ends
    for time in range(FIRST, NUM_TOKENS):
      if times and (time < times[-1] or (time == times[-1] and not pair_open)):
        may[time] = False
  weights = np.where(may, np.exp(scores.astype(np.float64)), 0)
  if weights[FIRST:].sum() > weights[:FIRST].max():
    may[:FIRST] = False
  return may


def test_rules_against_their_words():
  rule = Constraints(timestamps=Timestamps(first=FIRST, max_initial=2))
  apply = quick(lambda scores, history, column: rule.apply(scores, history, column, column - WIDTH, np.full(60, 20), (END,)))
  rng, kinds = np.random.default_rng(0), set()
  for num_new in range(7):
    history = np.full((60, WIDTH + 10), NONE)
    history[:, :WIDTH] = rng.integers(0, NUM_TOKENS, (60, WIDTH))  # a prompt, times in it too, says nothing
    history[:, WIDTH:WIDTH + num_new] = rng.integers(0, END, (60, num_new))
    times = np.sort(rng.integers(FIRST, NUM_TOKENS, (60, num_new)), 1)
    history[:, WIDTH:WIDTH + num_new] = np.where(rng.random((60, num_new)) < 0.5, times, history[:, WIDTH:WIDTH + num_new])
    scores = rng.normal(0, 2, (60, NUM_TOKENS)).astype(np.float32)
    found = np.asarray(apply(scores, history, WIDTH + num_new))
    for row, said, before in zip(found, history[:, WIDTH:WIDTH + num_new].tolist(), scores):
      may = allowed_by_hand(before, said, 2)
      assert np.isfinite(row).tolist() == may.tolist(), said
      np.testing.assert_array_equal(row[may], before[may])
      kinds.add((*(token >= FIRST for token in said[-2:]), bool(may[0])))
  assert len(kinds) >= 8


def test_settings():
  assert "timestamps" in Constraints(timestamps=Timestamps(first=4)).signature
  for wrong in ({"first": 0}, {"first": 3, "max_initial": -1}):
    with pytest.raises(ConfigError):
      Timestamps(**wrong)
