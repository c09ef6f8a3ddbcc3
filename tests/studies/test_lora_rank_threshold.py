"""Adapters of given ranks change a network by no more than rank times layers, and reach the best such change."""

import jax
import numpy as np
import pytest
from parts import InMemory

from experiments import lora_rank_threshold
from research import config
from research.studies.lora_rank_threshold import adapted, product, tails


def test_change_of_a_network_has_at_most_rank_times_layers():
  rng, rank = np.random.default_rng(0), np.arange(1, 5)
  frozen = rng.normal(size=(3, 12, 12))
  params = {"a": rng.normal(size=(4, 3, 4, 12)), "b": rng.normal(size=(4, 3, 12, 4))}
  with jax.enable_x64(True):
    changed, same = (np.asarray(jax.jit(adapted)({**params, "b": b}, frozen, rank)) for b in (params["b"], 0 * params["b"]))
  ranks = np.linalg.matrix_rank(changed - product(frozen))
  np.testing.assert_array_equal(ranks, np.minimum(3 * rank, 12))
  np.testing.assert_allclose(same, np.stack([product(frozen)] * 4), rtol=1e-9)


def test_tails_are_the_errors_of_truncated_singular_values():
  gap = np.random.default_rng(0).normal(size=(5, 5))
  u, s, vt = np.linalg.svd(gap)
  errors = [np.sum((gap - (u[:, :k] * s[:k]) @ vt[:k]) ** 2) for k in range(6)]
  np.testing.assert_allclose(tails(gap), errors, atol=1e-10)


@pytest.mark.heavy
def test_a_single_layer_reaches_the_best_change_and_no_better():
  with jax.enable_x64(True):
    metrics = config.override(lora_rank_threshold.experiment(), {"width": 4, "depths": (1,), "steps": 2_000}).measure(
        0, InMemory()).metrics
  assert 1 - 1e-9 <= metrics["least_over_tail_1"] <= metrics["most_over_tail_1"] < 1.001
  assert metrics["left_at_threshold_1"] < 1e-6 < metrics["left_below_threshold_1"]
