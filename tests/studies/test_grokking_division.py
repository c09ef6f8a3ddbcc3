"""The table divides, and a run ends when the other half is known."""

import numpy as np
import pytest
from parts import InMemory

from experiments import grokking_division
from research import config
from research.studies.grokking_division import table


def test_table_divides():
  tokens, answers = table(97)
  assert tokens.shape == (97 * 96, 4) and len({tuple(row) for row in tokens}) == 97 * 96
  a, b = tokens[:, 0], tokens[:, 2]
  np.testing.assert_array_equal(a, answers * b % 97)
  assert b.min() == 1 and set(tokens[:, 1]) == {97} and set(tokens[:, 3]) == {98}


def small(**changes):
  return config.override(grokking_division.experiment(), {
      "prime": 11, "train_share": 0.8, "batch_size": 64, "model.block.dim": 32, "model.block.mlp_dim": 64,
      "optimizer.learning_rate": 3e-3, "steps_without_decay": 100, **changes})


@pytest.mark.heavy
def test_memorises_a_table_that_it_need_not_understand():
  metrics = small(steps=100, evaluate_every=50).measure(0, InMemory()).metrics
  assert metrics["train_accuracy_without_decay"] > 0.95 > metrics["accuracy_without_decay"]


@pytest.mark.heavy
def test_a_small_table_is_understood_late():
  metrics = small(prime=23, steps=6_000).measure(0, InMemory()).metrics
  assert metrics["best_accuracy"] >= 0.99 and metrics["delay"] > 1
