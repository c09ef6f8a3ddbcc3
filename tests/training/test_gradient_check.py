"""Central differences: right gradients pass, planted errors are found and named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.training import gradient_check


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def _network(product):
  rng = np.random.default_rng(0)
  params = {"first": jnp.asarray(rng.normal(size=(3, 4))), "second": jnp.asarray(rng.normal(size=(4, 2)))}
  x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
  return lambda p: jnp.mean((product(jnp.tanh(x @ p["first"]), p["second"]) - y) ** 2), params


def test_autodiff_agrees_in_every_parameter():
  rows = gradient_check.check(*_network(jnp.matmul))
  assert [r.path for r in rows] == ["first", "second"]
  assert all(r.agrees and r.error < 1e-7 for r in rows)


@jax.custom_vjp
def _wrong_product(x, w):
  return x @ w


_wrong_product.defvjp(lambda x, w: (x @ w, (x, w)), lambda saved, g: (g @ saved[1].T, 1.001 * saved[0].T @ g))


def test_a_planted_error_of_a_thousandth_is_found_where_it_is():
  rows = {r.path: r for r in gradient_check.check(*_network(_wrong_product))}
  assert rows["first"].agrees
  assert not rows["second"].agrees and rows["second"].error == pytest.approx(1e-3, rel=0.01)


def test_a_parameter_that_is_not_used_agrees():
  rows = gradient_check.check(lambda p: jnp.sum(p["a"] ** 2), {"a": jnp.ones(3), "unused": jnp.ones(2)})
  assert all(r.agrees for r in rows)
