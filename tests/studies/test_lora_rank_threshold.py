"""Adapters of given ranks change a network by no more than rank times layers, and reach the best such change."""

import jax
import numpy as np
from parts import InMemory

from experiments import lora_rank_threshold
from research import config
from research.studies.lora_rank_threshold import adapted, product, tails


def test_change_of_a_network_has_at_most_rank_times_layers():
  study = lora_rank_threshold.experiment()
  with jax.enable_x64(True):
    frozen, _, rank, adapters = study._problem(0, 4)
    random = jax.tree.map(lambda p: jax.random.normal(jax.random.key(1), p.shape, p.dtype), adapters)
    changes = adapted(random, frozen, rank) - product(frozen)
    nothing = adapted(adapters, frozen, rank) - product(frozen)
  np.testing.assert_array_equal(rank, [1, 2, 3, 4])
  np.testing.assert_array_equal(np.linalg.matrix_rank(changes), [4, 8, 12, 16])
  np.testing.assert_allclose(nothing, 0, atol=1e-12)


def test_tails_are_the_errors_of_truncated_singular_values():
  gap = np.random.default_rng(0).normal(size=(5, 5))
  u, s, vt = np.linalg.svd(gap)
  errors = [np.sum((gap - (u[:, :k] * s[:k]) @ vt[:k]) ** 2) for k in range(6)]
  np.testing.assert_allclose(tails(gap), errors, atol=1e-10)


def test_a_single_layer_reaches_the_best_change_and_no_better():
  with jax.enable_x64(True):
    metrics = config.override(lora_rank_threshold.experiment(), {"width": 4, "depths": (1,), "steps": 2_000}).measure(
        0, InMemory()).metrics
  assert 1 - 1e-9 <= metrics["least_over_tail_1"] <= metrics["most_over_tail_1"] < 1.001
  assert metrics["left_at_threshold_1"] < 1e-6 < metrics["left_below_threshold_1"]
