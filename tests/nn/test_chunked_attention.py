"""Attention in chunks is attention; and it does not need the memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.nn.attention import attend, causal_mask
from research.nn.chunked_attention import attend_chunked

# Rows, heads and length of queries; rows, heads and number of keys; what is broadcast of mask and bias.
CASES = {
    "plain": ((2, 2, 7), (2, 2, 11), None, None),
    "mask of pairs": ((2, 2, 7), (2, 2, 11), (2, 1, 7, 11), None),
    "mask of heads, bias of keys": ((2, 4, 8), (2, 2, 12), (1, 4, 8, 12), (1, 4, 1, 12)),
    "beams, heads share keys": ((4, 4, 5), (2, 2, 9), (2, 1, 1, 9), (1, 4, 5, 9)),
    "mask of rows": ((4, 2, 5), (2, 1, 9), (4, 1, 5, 9), None),
}


QUICK = "mask of heads, bias of keys"


@pytest.mark.parametrize("case", [case if case == QUICK else pytest.param(case, marks=pytest.mark.heavy) for case in CASES])
def test_it_is_attention_and_so_are_its_gradients(case):
  queries, keys, mask, bias = CASES[case]
  random = np.random.default_rng(0)
  normal = lambda *shape: random.standard_normal(shape).astype(np.float32)
  q, k, v, weight = normal(*queries, 4), normal(*keys, 4), normal(*keys, 4), normal(*queries, 4)
  mask = None if mask is None else random.random(mask) < 0.6
  if mask is not None:
    mask[0, 0, 0] = False  # a query that sees nothing
  bias = None if bias is None else normal(*bias)

  def both(implementation):
    def loss(q, k, v, bias):
      out = implementation(q, k, v, mask, bias)
      return jnp.sum(out * weight), out
    return jax.jit(jax.value_and_grad(loss, (0, 1, 2) if bias is None else (0, 1, 2, 3), has_aux=True))(q, k, v, bias)

  plain = both(lambda q, k, v, mask, bias: attend(q, k, v, mask, bias_BHTS=bias, scale=1))
  chunked = both(lambda q, k, v, mask, bias: attend_chunked(q, k, v, mask, bias, num_queries=3, num_keys=4))
  for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(chunked), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_dropout_keeps_the_mean():
  q, k = (jax.random.normal(jax.random.key(i), (1, 1, 4, 8)) for i in (0, 1))
  v = jnp.ones((1, 1, 4, 8))
  run = jax.jit(jax.vmap(lambda key: attend_chunked(q, k, v, rate=0.5, key=key, num_queries=2, num_keys=2)))
  out = run(jax.random.split(jax.random.key(2), 4000))
  assert out.std() > 0.3
  np.testing.assert_allclose(out.mean(0), 1, atol=0.06)


@pytest.mark.parametrize("masked", [pytest.param(False, marks=pytest.mark.heavy), True])
def test_16384_tokens_take_a_twentieth_of_the_memory_for_gradients(masked):
  x = jax.ShapeDtypeStruct((1, 1, 16384, 64), "float32")

  def temporaries(implementation):
    mask = jax.ShapeDtypeStruct((1, 1, 16384, 16384), "bool") if masked else None
    loss = lambda q, k, v, mask: jnp.sum(attend(q, k, v, mask, implementation=implementation))
    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, x, x, mask).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  plain, chunked = temporaries("plain"), temporaries("chunked")
  assert chunked > 0 and plain >= 20 * chunked, (plain, chunked)


def test_a_causal_mask_by_name():
  q, k, v = (jax.random.normal(jax.random.key(i), (2, 2, 6, 4)) for i in range(3))
  plain, chunked = (attend(q, k, v, causal_mask(6), scale=0.3, implementation=name) for name in ("plain", "chunked"))
  np.testing.assert_allclose(chunked, plain, atol=1e-6)
