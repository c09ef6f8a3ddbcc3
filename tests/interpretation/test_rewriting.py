"""A relu is found and replaced wherever it is called from, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.interpretation.rewriting import replace_relu, without_checkpoints

_X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)


@jax.custom_vjp
def _with_rule(x):
  return jax.nn.relu(x)


_with_rule.defvjp(lambda x: (_with_rule(x), None), lambda _, g: (100 * g,))

_FORMS = {
    "jax.nn.relu": jax.nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "zero first": lambda x: jnp.maximum(0.0, x),
    "jit": jax.jit(jax.nn.relu),
    "remat": jax.checkpoint(jax.nn.relu),
    "custom_vjp": _with_rule,
    "cond": lambda x: jax.lax.cond(x.sum() < 1e6, jax.nn.relu, jnp.sin, x),
    "scan": lambda x: jax.lax.scan(lambda c, row: (c, jax.nn.relu(row) + 0 * c), jnp.zeros(4), x)[1],
    "reversed scan": lambda x: jax.lax.scan(lambda c, row: (c + 1, jax.nn.relu(row)), 0, x, reverse=True)[1],
    "scan over weights": lambda x: jax.lax.scan(lambda h, w: (jax.nn.relu(h * w), None), x, jnp.ones(2))[0],
    "vmap": jax.vmap(jax.nn.relu),
}


@pytest.mark.parametrize("form", _FORMS)
def test_every_form_of_a_relu_is_replaced(form):
  function = lambda x: {"out": jnp.cos(_FORMS[form](jnp.sin(x)))}
  np.testing.assert_array_equal(replace_relu(function, jax.nn.relu)(_X)["out"], function(_X)["out"])
  np.testing.assert_array_equal(replace_relu(function, lambda x: x)(_X)["out"], jnp.cos(jnp.sin(_X)))
  slope = jax.grad(lambda x: replace_relu(function, lambda x: x)(x)["out"].sum())(_X)
  np.testing.assert_allclose(slope, -jnp.sin(jnp.sin(_X)) * jnp.cos(_X), rtol=1e-5, atol=1e-6)


def test_relu6_keeps_its_upper_half():
  np.testing.assert_array_equal(
      replace_relu(jax.nn.relu6, lambda x: x)(jnp.array([-1.0, 3.0, 9.0])), [-1, 3, 6])


def test_other_operations_and_their_custom_derivatives_stay():
  @jax.custom_jvp
  def odd(x):
    return x

  odd.defjvp(lambda x, t: (x[0], 7 * t[0]))
  function = lambda x: (odd(x) + jnp.maximum(x, 1) + jax.nn.relu(-jnp.abs(x))).sum() + jax.nn.logsumexp(x)
  expected = jax.grad(function)(_X)
  np.testing.assert_allclose(jax.grad(replace_relu(function, jax.nn.relu))(_X), expected, rtol=1e-6)


def test_no_relu_or_one_that_cannot_be_entered_is_said():
  for function in (jnp.sin, lambda x: jnp.maximum(x, 1), lambda x: jnp.maximum(x.astype(int), 0)):
    with pytest.raises(ValueError, match="no relu"):
      replace_relu(function, jnp.sin)(_X)
  with pytest.raises(ValueError, match="while"):
    replace_relu(lambda x: jax.lax.while_loop(lambda x: x.sum() > 1, lambda x: jax.nn.relu(x) / 2, x), jnp.sin)(_X)


def test_without_checkpoints_nothing_is_computed_again_and_nothing_changes():
  layer = jax.checkpoint(lambda x, w: jnp.sin(jnp.cos(x * w)))
  deep = lambda x: jax.lax.scan(lambda x, w: (layer(x, w), None), x, jnp.arange(1.0, 4.0))[0].sum()
  kept = without_checkpoints(deep)
  cosines = lambda function: str(jax.make_jaxpr(jax.grad(function))(_X)).count("cos ")
  assert cosines(kept) == 2 < cosines(deep)
  np.testing.assert_allclose(jax.grad(kept)(_X), jax.grad(deep)(_X), rtol=1e-5)
  np.testing.assert_array_equal(without_checkpoints(jnp.sin)(_X), jnp.sin(_X))
