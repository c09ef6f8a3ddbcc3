"""Labels are the parity, an easy parity is learnt, and random labels are not."""

import jax
import numpy as np

from experiments import sparse_parity
from research import config


def small(**changes):
  changes = {"input_dim": 8, "parity_size": 2, "num_hidden": 32, "steps": 2_000, "early_step": 500, "num_test": 1_000,
             **changes}
  return config.override(sparse_parity.experiment(), changes)


def test_labels_are_the_product_of_the_first_signs_and_balanced():
  x, y = small()._batch(jax.random.key(0), 4_000)
  np.testing.assert_array_equal(y, x[:, 0] * x[:, 1])
  assert set(np.unique(x)) == {-1, 1} and abs(float(y.mean())) < 0.06


def test_easy_parity_is_learnt_by_the_relevant_weights():
  metrics = small().measure(0, parts=None).metrics
  assert metrics["best_accuracy"] > 0.99 and metrics["hidden_progress"] > 1.5


def test_random_labels_are_not_learnt():
  metrics = small(shuffle_labels=True).measure(0, parts=None).metrics
  assert metrics["best_accuracy"] < 0.6 and metrics["steps_to_99"] == np.inf
