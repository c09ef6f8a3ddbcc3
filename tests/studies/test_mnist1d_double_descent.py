"""Noise of the right share, a wide network that fits it, and the peak read off a known curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import mnist1d_double_descent
from research import config
from research.studies.base import Findings
from research.studies.mnist1d_double_descent import LABELS, apply, corrupt, init, loss, train

SMALL = {"widths": (8, 32), "valley": 8, "num_samples": 300, "num_train": 100, "epochs": 150, "batch_size": 50}


def study(**changes):
  return config.override(mnist1d_double_descent.experiment(), SMALL | changes)


def test_a_tenth_of_the_drawn_labels_are_right_again():
  y = np.arange(100_000) % 10
  assert np.mean(corrupt(y, 0.15, np.random.default_rng(0)) != y) == pytest.approx(0.15 * 0.9, abs=0.004)
  assert np.array_equal(corrupt(y, 0.0, np.random.default_rng(0)), y)


def test_initial_weights_and_biases_are_uniform_in_the_fan_in():
  for kernel, bias in init(jax.random.key(0), 40, 100):
    limit = 1 / np.sqrt(kernel.shape[0])
    assert 0.95 * limit < jnp.max(jnp.abs(kernel)) <= limit
    assert jnp.max(jnp.abs(bias)) <= limit and jnp.std(kernel) == pytest.approx(limit / np.sqrt(3), rel=0.1)


def test_one_batch_of_everything_is_gradient_descent_with_momentum():
  x, y = jax.random.normal(jax.random.key(1), (12, 5)), jnp.arange(12) % 10
  params = init(jax.random.key(0), 5, 6)
  trained = train(params, x, y, jax.random.key(2), 0.1, 0.9, epochs=3, batch_size=12)
  velocity = jax.tree.map(jnp.zeros_like, params)
  for _ in range(3):
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, jax.grad(loss)(params, x, y))
    params = jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), trained, params)
  assert apply(trained, x).shape == (12, 10)


@pytest.mark.heavy
def test_wide_networks_fit_noise_that_narrow_ones_cannot():
  metrics = study(widths=(4, 64), valley=4, noise=0.5, rate=0.1).measure(0, InMemory()).metrics
  assert metrics["train_noisy_64"] == 0 < metrics["train_noisy_4"]
  assert metrics["test_clean_64"] < metrics["test_noisy_64"]


def test_peak_is_the_mean_of_seeds_above_the_valley():
  curve = {"noisy": {7: 70, 16: 40, 36: 50, 300: 30}, "clean": {7: 60, 16: 40, 36: 39, 300: 35}}
  metrics = lambda shift: {f"{part}_{kind}_{width}": value + shift * (width == 36) if part == "test" else 5.0 * (width < 36)
                           for part in ("test", "train") for kind in LABELS for width, value in curve[kind].items()}
  whole = study(widths=(7, 16, 36, 300), valley=16).conclude(
      {0: Findings(metrics=metrics(-1)), 1: Findings(metrics=metrics(3))}).metrics
  assert (whole["peak_width_noisy"], whole["rise_noisy"], whole["fall_noisy"]) == (36, 11, 21)
  assert whole["rise_clean"] == 0 and whole["largest_misfit_width"] == 16


def test_valley_is_a_width():
  with pytest.raises(config.ConfigError, match="valley=9 must be one of widths"):
    study(valley=9)
