"""Multi-head attention (Vaswani et al. 2017).

Shapes: B examples, T queries, S keys, H heads, K size of a head, D model.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.initializers import Init


def causal_mask(length: int) -> jax.Array:
  """(1, 1, T, T): a position sees itself and what came before."""
  return jnp.tril(jnp.ones((length, length), bool))[None, None]


def segment_mask(segments_BT: jax.Array) -> jax.Array:
  """(B, 1, T, T): a position sees those of its own segment. Segment 0 is padding and is seen by nobody."""
  same = segments_BT[:, :, None] == segments_BT[:, None, :]
  return (same & (segments_BT != 0)[:, None, :])[:, None]


def attend(q_BHTK: jax.Array, k_BHSK: jax.Array, v_BHSK: jax.Array, mask_BHTS: jax.Array | None = None, *,
           rate: float = 0.0, key: jax.Array | None = None) -> jax.Array:
  """softmax(q kᵀ/√K) v, the softmax in float32 at least.

  Args:
    q_BHTK: queries.
    k_BHSK: keys.
    v_BHSK: values.
    mask_BHTS: True where a query may look; broadcast. A query that may look nowhere gets the mean of all values.
    rate: dropout of the attention weights.
    key: for the dropout.
  """
  scores = jnp.einsum("bhtk,bhsk->bhts", q_BHTK / math.sqrt(q_BHTK.shape[-1]), k_BHSK)
  scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
  if mask_BHTS is not None:
    scores = jnp.where(mask_BHTS, scores, jnp.finfo(scores.dtype).min)
  weights = dropout(jax.nn.softmax(scores).astype(v_BHSK.dtype), rate, key)
  return jnp.einsum("bhts,bhsk->bhtk", weights, v_BHSK)


class Attention(nnx.Module):
  """Self-attention. Separate projections, so that rules can tell queries from values."""

  def __init__(self, dim: int, num_heads: int, *, bias: bool = True, dropout: float = 0.0, init: Init = "lecun_normal",
               scale: float = 1.0, out_scale: float = 1.0, dtype=jnp.float32, rngs: nnx.Rngs):
    assert dim % num_heads == 0, (dim, num_heads)
    self.num_heads, self.dropout = num_heads, dropout
    dense = lambda factor: Dense(dim, dim, bias=bias, init=init, scale=factor, dtype=dtype, rngs=rngs)
    self.query, self.key, self.value, self.out = dense(scale), dense(scale), dense(scale), dense(scale * out_scale)

  def __call__(self, x_BTD: jax.Array, mask_BHTS: jax.Array | None = None, *,
               key: jax.Array | None = None) -> jax.Array:
    """Returns (B, T, D)."""
    heads = lambda y_BTD: y_BTD.reshape(*y_BTD.shape[:2], self.num_heads, -1).swapaxes(1, 2)
    y_BHTK = attend(heads(self.query(x_BTD)), heads(self.key(x_BTD)), heads(self.value(x_BTD)), mask_BHTS,
                    rate=self.dropout, key=key)
    return self.out(y_BHTK.swapaxes(1, 2).reshape(x_BTD.shape))
