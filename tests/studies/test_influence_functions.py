"""The loss is the likelihood, the trained weights are stationary, and influence is exact where the theory is: in the limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import influence_functions
from research import config
from research.studies.influence_functions import losses

SMALL = {"num_train": 120, "num_removed": 6, "chunk": 3, "classes": (1, 7)}


class InMemory:
  def each(self, name, items, compute):
    return [compute(item) for item in items]


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def study(**changes):
  return config.override(influence_functions.experiment(), SMALL | changes)


def test_loss_is_minus_log_of_the_probability():
  x, weights, y = np.eye(3)[:2], np.log([[1.0, 3.0], [1.0, 1.0], [0.0, 0.0] + np.ones(2)]), jnp.array([1, 0])
  np.testing.assert_allclose(losses(weights, x, y), -np.log([3 / 4, 1 / 2]))


def test_problem_has_only_the_classes_and_splits_by_seed():
  (x, y), (x_rest, y_rest) = study()._problem(0)
  assert x.shape == (120, 65) and set(np.asarray(y).tolist()) == {0, 1} and jnp.all(x[:, -1] == 1)
  assert len(y) + len(y_rest) == 182 + 179
  assert not np.array_equal(x, study()._problem(1)[0][0])


def test_influence_predicts_retraining_and_its_rivals_do_not():
  metrics = study().measure(0, InMemory()).metrics
  assert metrics["gradient_left"] < 1e-10
  assert metrics["pearson"] > 0.98 > max(metrics["pearson_without_hessian"], metrics["pearson_shuffled"])


def test_strong_decay_makes_the_prediction_exact():
  slopes = [study(weight_decay=decay).measure(1, InMemory()).metrics["slope"] for decay in (0.01, 1.0)]
  assert abs(slopes[1] - 1) < 0.03 < abs(slopes[0] - 1)
