"""The construction is the paper's, the first feature decides, and the two methods part on it."""

import numpy as np
import pytest
from parts import InMemory

from experiments import adaptive_marginal_value
from research import config
from research.studies.adaptive_marginal_value import features, labels


def test_every_example_owns_its_features():
  y = np.array([1.0, -1.0, 1.0])
  x = features(y, seen=True)
  assert x.shape == (3, 18)
  np.testing.assert_array_equal(x[:, :3], [[1, 1, 1], [-1, 1, 1], [1, 1, 1]])
  own = x[:, 3:].reshape(3, 3, 5)
  np.testing.assert_array_equal(own.sum(-1), np.diag([1, 5, 1]))
  np.testing.assert_array_equal(features(y, seen=False), x[:, :3])


def test_smallest_solution_is_right_on_unseen_examples():
  y = labels(np.random.default_rng(0), 40, 0.75)
  w = np.linalg.lstsq(features(y, seen=True), y, rcond=None)[0]
  fresh = np.array([1.0, -1.0])
  assert (np.sign(features(fresh, seen=False) @ w[:3]) == fresh).all()


def test_adam_answers_the_majority_and_gradient_descent_the_label():
  study = config.override(adaptive_marginal_value.experiment(),
                          {"positive_shares": (0.7,), "num_train": 40, "steps": 2_000})
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["gd_accuracy_0.7"] == 1
  assert metrics["adam_accuracy_0.7"] == pytest.approx(0.7, abs=0.03)
  assert metrics["gd_train_mse_0.7"] < 1e-3 and metrics["adam_train_mse_0.7"] < 0.05


def test_a_minority_of_positives_is_refused():
  with pytest.raises(config.ConfigError, match="the majority must be"):
    config.override(adaptive_marginal_value.experiment(), {"positive_shares": (0.4,)})
