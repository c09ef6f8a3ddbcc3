"""Adaptation is gradient descent, the meta-gradient goes through it, and short training shows the gap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import maml_sinusoid
from research import config
from research.studies.maml_sinusoid import adapt, waves


def test_waves_have_the_amplitudes_and_phases_asked_for():
  x, y = waves(jax.random.key(0), 1_000, 200)
  assert 4 < np.abs(y).max() <= 5 and np.abs(x).max() <= 5
  basis = np.concatenate([np.sin(x), np.cos(x)], axis=2)
  a, b = np.linalg.solve(basis.swapaxes(1, 2) @ basis, basis.swapaxes(1, 2) @ np.asarray(y))[..., 0].T
  phase = np.arctan2(-b, a)
  assert -1e-2 < phase.min() < 0.1 and 3 < phase.max() < np.pi + 1e-2
  np.testing.assert_allclose(y, basis @ np.stack([a, b], 1)[..., None], atol=1e-2)


def test_adaptation_and_its_derivative_are_those_of_a_parabola():
  error = lambda p, x, y: 0.5 * p**2
  path = adapt(error, jnp.array(1.0), None, None, 0.1, 3)
  np.testing.assert_allclose(path, [1, 0.9, 0.81, 0.729], rtol=1e-6)
  meta = jax.grad(lambda p: error(adapt(error, p, None, None, 0.1, 3)[-1], None, None))(1.0)
  np.testing.assert_allclose(meta, 0.9**6, rtol=1e-6)  # not 0.9³, which the first-order derivative would be


@pytest.mark.heavy
def test_short_training_shows_the_gap():
  metrics = config.override(maml_sinusoid.experiment(), {"steps": 4_000}).measure(0, InMemory()).metrics
  assert metrics["meta_error_1"] < 0.7 * metrics["pretrained_error_1"]
  assert metrics["meta_error_10"] < metrics["meta_error_1"] < metrics["meta_error_0"]
