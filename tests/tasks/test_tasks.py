"""Losses and accuracies against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError
from research.tasks.classification import Classification
from research.tasks.regression import Regression

RNG = np.random.default_rng(0)


def _value(task, name, outputs, batch, mask=None, training=False):
  rows = np.asarray(task.statistics(jnp.asarray(outputs), batch, training=training)[name], np.float64)
  return task.metrics[name].value((np.ones(len(rows)) if mask is None else mask) @ rows)


def test_regression_is_one_over_two_n_squared_error():
  y, f = RNG.normal(size=(2, 5, 3))
  assert _value(Regression(num_outputs=3), "loss", f, {"targets": y}) == pytest.approx(np.sum((f - y) ** 2) / (2 * 5), rel=1e-6)


def test_regression_keeps_a_number_of_each_example_and_correlates_it():
  task, y, f = Regression(extra_metrics=("pearson",)), np.array([0.0, 1, 2, 3]), np.array([[1.0], [3], [5], [7]])
  records = {name: np.asarray(values) for name, values in task.records(jnp.asarray(f), {"targets": jnp.asarray(y)}).items()}
  np.testing.assert_array_equal(records["prediction"], f[:, 0])
  assert task.record_metrics["pearson"].value(records, np.ones(4)) == pytest.approx(1)
  assert Regression(num_outputs=2).records(jnp.zeros((3, 2)), {"targets": jnp.zeros((3, 2))}) == {}
  with pytest.raises(ConfigError, match="num_outputs=2"):
    Regression(num_outputs=2, extra_metrics=("pearson",))


def test_cross_entropy_and_its_gradient():
  task, logits, labels = Classification(num_classes=4), RNG.normal(size=(6, 4)), RNG.integers(0, 4, 6)
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  assert _value(task, "loss", logits, {"labels": labels}) == pytest.approx(-np.log(p[np.arange(6), labels]).mean(), rel=1e-6)
  gradient = jax.grad(lambda z: task.statistics(z, {"labels": labels})["loss"][:, 0].sum())(jnp.asarray(logits))
  np.testing.assert_allclose(gradient, p - np.eye(4)[labels], atol=1e-6)


def test_label_smoothing_in_training_only():
  task, logits, labels = Classification(num_classes=4, label_smoothing=0.1), RNG.normal(size=(6, 4)), RNG.integers(0, 4, 6)
  logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  smoothed = 0.9 * np.eye(4)[labels] + 0.1 / 4
  trained = _value(task, "loss", logits, {"labels": labels}, training=True)
  assert trained == pytest.approx(-(smoothed * logp).sum(1).mean(), rel=1e-6)
  assert _value(task, "loss", logits, {"labels": labels}) == pytest.approx(-logp[np.arange(6), labels].mean(), rel=1e-6)


def test_top_k_counts_ties_against_the_prediction():
  task, labels = Classification(num_classes=3, top=(1, 2)), np.array([0, 1, 2])
  assert _value(task, "accuracy", np.zeros((3, 3)), {"labels": labels}) == 0
  logits = np.array([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
  assert _value(task, "accuracy", logits, {"labels": labels}) == pytest.approx(1 / 3)
  assert _value(task, "top2_accuracy", logits, {"labels": labels}) == pytest.approx(2 / 3)


def test_a_prediction_that_is_not_a_number_is_never_right():
  assert _value(Classification(num_classes=3), "accuracy", np.full((1, 3), np.nan), {"labels": np.array([0])}) == 0


def test_masked_examples_count_nothing():
  task, labels = Classification(num_classes=4), np.array([0, 1, 2])
  logits = RNG.normal(size=(3, 4))
  two = _value(task, "loss", logits[:2], {"labels": labels[:2]})
  assert _value(task, "loss", logits, {"labels": labels}, mask=np.array([1, 1, 0])) == pytest.approx(two, rel=1e-6)


@pytest.mark.parametrize("settings", [{"label_smoothing": 1.0}, {"top": (0,)}, {"top": (5,)}])
def test_impossible_settings_are_refused(settings):
  with pytest.raises(ConfigError):
    Classification(num_classes=4, **settings)
