"""Long attention on CPUs, some queries of one head at a time, is the attention that it is computed for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from small_networks import compiled

from research.nn import attention


# Of the masks, one says what is seen of all queries, one of each; 513 queries are no whole number of blocks.
@pytest.mark.parametrize("mask,bias", [(None, None), ((2, 1, 1, 700), None), ((1, 1, 513, 700), (1, 3, 513, 700))])
def test_blocks_are_the_whole(mask, bias):
  rng = np.random.default_rng(0)
  q, k, v = (rng.normal(size=(2, 3, num, 4)).astype(np.float32) for num in (513, 700, 700))
  mask = None if mask is None else jnp.asarray(rng.random(mask) < 0.5).at[..., 0].set(True)
  bias = None if bias is None else jnp.asarray(rng.normal(size=bias), jnp.float32)
  scores = np.einsum("bhtk,bhsk->bhts", q, k) / 2 + (0 if bias is None else bias)
  weights = jax.nn.softmax(jnp.where(True if mask is None else mask, scores, -jnp.inf))
  run = compiled(lambda q, k, v: attention.attend(q, k, v, mask, bias_BHTS=bias))
  assert ("while" in run.lower(q, k, v).as_text()) and attention._BLOCK < 513 * 700
  np.testing.assert_allclose(run(q, k, v), np.einsum("bhts,bhsk->bhtk", weights, v), rtol=0, atol=2e-6)


def test_blocks_are_exported_for_batches_of_any_size():
  batch, = export.symbolic_shape("b")
  spec = lambda num: jax.ShapeDtypeStruct((batch, 2, num, 4), "float32")
  exported = export.export(jax.jit(attention.attend), platforms=("cpu", "cuda"))(spec(513), spec(700), spec(700))
  x = np.random.default_rng(0).normal(size=(3, 2, 700, 4)).astype(np.float32)
  np.testing.assert_allclose(exported.call(x[:, :, :513], x, x), attention.attend(x[:, :, :513], x, x), rtol=0, atol=1e-6)
