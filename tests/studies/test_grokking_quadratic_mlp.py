"""The closed form adds exactly where its other terms cancel; training small tables shows the order of events."""

import numpy as np
import pytest
from parts import InMemory

from experiments import grokking_quadratic_mlp
from research import config
from research.studies.grokking_quadratic_mlp import analytic, network, pairs, participation


def test_closed_form_is_the_indicator_of_the_sum_when_all_frequencies_and_phases_are_there():
  prime, quarter = 7, np.arange(4) * np.pi / 2
  frequency, left, right = (a.ravel() for a in np.meshgrid(np.arange(prime), quarter, quarter, indexing="ij"))
  x, y = pairs(prime)
  outputs = network(analytic(prime, frequency, left, right, left + right), x)
  np.testing.assert_allclose(outputs, len(frequency) / 2 * np.eye(prime)[y], atol=1e-3)


def test_participation_is_one_for_cosines_and_small_for_noise():
  prime, rng = 97, np.random.default_rng(0)
  waves = analytic(prime, rng.integers(1, prime, 20), *rng.uniform(-3, 3, (3, 20)))["hidden"]
  np.testing.assert_allclose(participation(waves, prime), 1, atol=1e-5)
  assert np.median(participation(rng.normal(size=(2 * prime, 200)), prime)) == pytest.approx(2 / 49, rel=0.2)


def test_closed_form_needs_its_phases():
  found = config.override(grokking_quadratic_mlp.experiment(), {"prime": 23, "analytic_widths": (400,)})._analytic(0)
  assert found["matched"] > [0.9999] and found["unrelated"] < [0.5]


@pytest.mark.heavy
def test_a_small_table_is_learnt_late_and_in_few_frequencies():
  study = config.override(grokking_quadratic_mlp.experiment(), {
      "prime": 23, "num_hidden": 120, "analytic_widths": (400,), "train_shares": (0.5,), "steps": 1_000,
      "optimizer.learning_rate": 2e-3})
  small = study.measure(0, InMemory()).metrics
  assert small["test_accuracy_0.5"] > 0.95
  assert small["test_steps_0.5"] > 1.5 * small["train_steps_0.5"]
  assert small["participation_rise_0.5"] > 2
