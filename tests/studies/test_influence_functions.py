"""The loss is the likelihood, the trained weights are stationary, and influence is exact where the theory is: in the limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import influence_functions
from research import config
from research.studies.influence_functions import losses

SMALL = {"num_train": 120, "num_removed": 8, "chunk": 4, "classes": (1, 7)}


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def study(**changes):
  return config.override(influence_functions.experiment(), SMALL | changes)


def test_loss_is_minus_log_of_the_probability():
  x, weights, y = np.eye(3)[:2], np.log([[1.0, 3.0], [1.0, 1.0], [1.0, 1.0]]), jnp.array([1, 0])
  np.testing.assert_allclose(losses(weights, x, y), -np.log([3 / 4, 1 / 2]))


def test_problem_has_only_the_classes_and_splits_by_seed():
  (x, y), (_, y_rest) = study()._problem(0)
  assert x.shape == (120, 65) and set(np.asarray(y).tolist()) == {0, 1} and jnp.all(x[:, -1] == 1)
  assert len(y) + len(y_rest) == 182 + 179
  assert not np.array_equal(x, study()._problem(1)[0][0])


@pytest.mark.heavy
def test_influence_is_nearer_to_retraining_than_its_rivals_and_exact_when_examples_hardly_matter():
  metrics = study().measure(0, InMemory()).metrics
  assert metrics["gradient_left"] < 1e-10
  assert metrics["pearson"] > 0.99 > metrics["pearson_without_hessian"] > metrics["pearson_shuffled"]
  strong = study(weight_decay=10.0).measure(0, InMemory()).metrics
  assert abs(strong["slope"] - 1) < 0.01 < abs(metrics["slope"] - 1)
