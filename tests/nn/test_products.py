"""Products of matrices whose gradients take another way are products all the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import flops
from research.nn.dense import Dense
from research.nn.products import dense, product

KEY = jax.random.key(3)


@pytest.mark.parametrize("widths", [(4, 6), (6, 4)])
def test_all_derivatives_are_those_of_the_product(widths):
  x, w = jax.random.normal(KEY, (5, widths[0])), jax.random.normal(KEY, widths)
  functions = [lambda x, w, f=f: jnp.sum(jnp.sin(f(x, w))) for f in (product, jnp.matmul)]
  slope = lambda f: lambda *args: jax.jvp(f, args, (jnp.cos(x), jnp.sin(w)))[1]
  per_example = lambda f: jax.vmap(jax.grad(lambda w, x: f(x[None], w)), (None, 0))
  derivatives = [jax.value_and_grad, slope, lambda f: jax.grad(slope(f), (0, 1)), lambda f: slope(jax.grad(f, 1)),
                 lambda f: jax.grad(lambda x, w: jnp.sum(jax.grad(f, 1)(x, w) ** 2), (0, 1)),
                 lambda f: lambda x, w: per_example(f)(w, x)]
  for derivative in derivatives:
    mine, want = (jax.jit(derivative(f))(x, w) for f in functions)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), mine, want)


def test_a_gradient_of_the_inputs_alone_computes_none_of_the_weights():
  x, w = jax.random.normal(KEY, (5, 4)), jax.random.normal(KEY, (3, 4, 4))
  deep = lambda x, w: jax.lax.scan(lambda x, w: (product(x, w), None), x, w)[0].sum()  # through a scan, as in networks
  of = lambda function: flops.count(function, x, w).products
  assert of(jax.grad(lambda x, w: jnp.sum(jnp.sin(deep(x, w))))) == 2 * of(deep)
  assert of(jax.grad(lambda x, w: jnp.sum(jnp.sin(deep(x, w))), (0, 1))) == 3 * of(deep)


@pytest.mark.parametrize("widths", [(4, 6), (6, 4)])
def test_a_gradient_costs_what_it_costs(widths):
  x, w = jnp.ones((5, widths[0])), jnp.ones(widths)
  loss = lambda x, w: jnp.sum(product(x, w) ** 2)
  assert flops.count(jax.value_and_grad(loss, (0, 1)), x, w).total == 3 * 2 * 5 * 24


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_by_it_is_the_layer(bias):
  layer = Dense(4, 6, bias=bias, init="torch_uniform", rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 5, 4))
  np.testing.assert_allclose(jax.jit(lambda x: dense(layer, x))(x), layer(x), rtol=1e-5, atol=1e-6)
