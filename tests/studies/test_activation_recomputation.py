"""Segments change neither values nor gradients; memory follows n and √n; lengths that are no squares are refused."""

import jax
import numpy as np
import pytest
from parts import InMemory

from experiments import activation_recomputation
from research import config
from research.studies.activation_recomputation import chain, slope


@pytest.mark.parametrize("segment", [1, 3, 9])
def test_segments_change_nothing(segment):
  kernels = jax.random.normal(jax.random.key(0), (9, 4, 4))
  x = jax.random.normal(jax.random.key(1), (5, 4))
  expected = x
  for kernel in np.asarray(kernels):
    expected = np.tanh(expected @ kernel)
  np.testing.assert_allclose(chain(kernels, x, segment=segment), expected, atol=1e-5)
  gradient = lambda segment: jax.grad(lambda k: chain(k, x, segment=segment).sum())(kernels)
  np.testing.assert_allclose(gradient(segment), gradient(None), atol=1e-5)


def test_slope_of_a_power():
  assert slope([1, 2, 8], [3, 12, 192]) == pytest.approx(2)


def test_memory_follows_the_law_at_small_width():
  study = config.override(activation_recomputation.experiment(), {"dim": 32, "batch_size": 32, "lengths": (16, 64, 256)})
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["slope_plain"] == pytest.approx(1, abs=0.1)
  assert metrics["slope_segmented"] == pytest.approx(0.5, abs=0.1)
  assert metrics["gradient_difference"] < 1e-6


def test_lengths_are_squares():
  with pytest.raises(config.ConfigError, match="17 layers do not fall"):
    config.override(activation_recomputation.experiment(), {"lengths": (16, 17)})
