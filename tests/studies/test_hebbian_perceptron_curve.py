"""The error is an angle, the curve has its known ends, and small problems lie on it."""

import numpy as np
import pytest
from parts import InMemory

from experiments import hebbian_perceptron_curve
from research import config
from research.studies.hebbian_perceptron_curve import generalization_error, predicted_error


def test_error_is_the_share_of_inputs_two_perceptrons_disagree_on():
  rng = np.random.default_rng(0)
  w, teacher = rng.normal(size=(2, 5))
  x = rng.normal(size=(200_000, 5))
  disagree = np.mean(np.sign(x @ w) != np.sign(x @ teacher))
  assert generalization_error(w, teacher) == pytest.approx(disagree, abs=5e-3)


def test_curve_starts_at_chance_and_falls_as_the_inverse_root():
  assert predicted_error(0.0) == pytest.approx(0.5)
  assert predicted_error(4e6) / predicted_error(1e6) == pytest.approx(0.5, rel=1e-3)


def test_small_problems_lie_on_the_curve():
  study = config.override(hebbian_perceptron_curve.experiment(), {"input_dim": 100, "draws": 40, "alphas": (1.0, 8.0)})
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["largest_gap"] < 0.05
  assert metrics["gap_of_inverse_root"] > 0.1
