"""The expansion is exact where it must be, its training is the kernel's, and the gap shrinks with width."""

import jax
import jax.numpy as jnp
import numpy as np
from parts import InMemory

from experiments import wide_networks_linearize
from research import config
from research.studies.wide_networks_linearize import linearized, network, train_linearized


def small(**changes):
  changes = {"widths": (16, 64), "num_train": 8, "num_test": 5, **changes}
  return config.override(wide_networks_linearize.experiment(), changes)


def test_expansion_is_exact_for_a_function_linear_in_its_parameters():
  f = lambda p: p["a"] * 2 + p["b"][0]
  expansion = linearized(f, {"a": jnp.ones(3), "b": jnp.array([1.0])})
  elsewhere = {"a": jnp.array([5.0, -1.0, 0.5]), "b": jnp.array([-4.0])}
  np.testing.assert_allclose(expansion(elsewhere), f(elsewhere))


def test_training_by_the_kernel_is_gradient_descent_on_the_expansion():
  study = small()
  x, y, _ = study._points(0)
  at = study._initial(0, 16)
  f = lambda kernels: network(kernels, x, study.gain)
  loss = jax.jit(jax.grad(lambda kernels: 0.5 * jnp.mean((linearized(f, at)(kernels) - y) ** 2)))
  params = at
  for _ in range(10):
    params = jax.tree.map(lambda p, g: p - g, params, loss(params))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), params, train_linearized(f, at, y, 1.0, 10))


def test_gap_shrinks_with_width():
  metrics = small(widths=(16, 256)).measure(0, InMemory()).metrics
  assert metrics["slope"] < -0.4
  assert metrics["rmse_256"] < metrics["rmse_16"]
