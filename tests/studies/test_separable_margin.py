"""The limit is the support vector solution, inseparable examples are refused, and gradient descent nears it."""

import jax
import numpy as np
import pytest
from parts import InMemory

from experiments import separable_margin
from research import config
from research.studies.separable_margin import max_margin


def test_max_margin_by_hand():
  np.testing.assert_allclose(max_margin(np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0]])), [0.5, 1.0])


def test_max_margin_is_optimal():
  z = separable_margin.experiment()._signed(4)
  w = max_margin(z)
  assert np.min(z @ w) == pytest.approx(1)
  # Karush-Kuhn-Tucker: w is a nonnegative sum of the examples on the margin
  support = z[z @ w < 1 + 1e-6]
  weights = np.linalg.lstsq(support.T, w, rcond=None)[0]
  np.testing.assert_allclose(support.T @ weights, w, rtol=1e-8)
  assert (weights > 0).all()


def test_inseparable_examples_are_refused():
  with pytest.raises(ValueError, match="not separable"):
    max_margin(np.array([[1.0, 0.0], [-1.0, 0.0]]))


def test_direction_nears_the_limit_on_separable_data():
  with jax.enable_x64(True):
    study = config.override(separable_margin.experiment(), {"steps": 20_000, "fit_from": 500})
    short = config.override(study, {"steps": 5_000})
    far, near = (s.measure(1, InMemory()).metrics for s in (short, study))
  assert near["distance"] < far["distance"] < 0.5
