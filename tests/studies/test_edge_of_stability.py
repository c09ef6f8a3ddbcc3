"""The sharpness is the Hessian's eigenvalue, and a step size beyond its limit is what decides stability."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util
from parts import InMemory

from experiments import edge_of_stability
from research import config
from research.studies.edge_of_stability import largest_eigenvalue


def test_largest_eigenvalue_of_a_quadratic():
  rng = np.random.default_rng(0)
  basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
  hessian = jnp.asarray(basis @ np.diag([5.0, 3.0, 1.0, 0.5, 0.1, 0.0]) @ basis.T, jnp.float32)
  loss = lambda p: 0.5 * jnp.concatenate([p["a"], p["b"]]) @ hessian @ jnp.concatenate([p["a"], p["b"]])
  params = {"a": jnp.ones(2), "b": jnp.ones(4)}
  value, direction = largest_eigenvalue(loss, params, params, 40)
  assert value == pytest.approx(5, rel=1e-5)
  np.testing.assert_allclose(np.abs(np.concatenate([direction["a"], direction["b"]]) @ basis[:, 0]), 1, rtol=1e-5)


def test_largest_eigenvalue_of_a_network_is_that_of_its_full_hessian():
  study = config.override(edge_of_stability.experiment(), {"num_examples": 50, "widths": (3,)})
  loss, params = study.objective(0)
  flat, unflatten = flatten_util.ravel_pytree(params)
  full = np.linalg.eigvalsh(jax.hessian(lambda p: loss(unflatten(p)))(flat))[-1]
  value, _ = largest_eigenvalue(loss, params, jax.tree.map(jnp.ones_like, params), 100)
  assert value == pytest.approx(full, rel=1e-3)


@pytest.mark.heavy
def test_sharpness_rises_to_the_limit_and_not_above():
  study = config.override(edge_of_stability.experiment(), {
      "num_examples": 200, "widths": (32, 32), "learning_rates": (0.4, 0.05), "steps": 1_200, "sharpness_every": 50,
      "early_step": 100})
  metrics = study.measure(0, InMemory()).metrics
  assert 0.9 < metrics["sharpness_over_limit_0.4"] < 1.1
  assert metrics["sharpness_over_limit_0.05"] < 0.8
  assert metrics["late_over_early_loss_0.4"] < 1
