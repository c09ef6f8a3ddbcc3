"""Multi-head attention (Vaswani et al. 2017).

Shapes: B examples, T queries, S keys, H heads, K size of a head, D model.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.initializers import Init
from research.nn.products import dense

Implementation = Literal["plain", "cudnn"]
ATTENTION = "attention"  # the name under which rematerialisation finds, and keeps, what attention gives


def causal_mask(length: int) -> jax.Array:
  """(1, 1, T, T): a position sees itself and what came before."""
  return jnp.tril(jnp.ones((length, length), bool))[None, None]


def segment_mask(segments_BT: jax.Array) -> jax.Array:
  """(B, 1, T, T): a position sees those of its own segment. Segment 0 is padding and is seen by nobody."""
  same = segments_BT[:, :, None] == segments_BT[:, None, :]
  return (same & (segments_BT != 0)[:, None, :])[:, None]


def attend(q_BHTK: jax.Array, k_BHSK: jax.Array, v_BHSK: jax.Array, mask_BHTS: jax.Array | None = None, *,
           rate: float = 0.0, key: jax.Array | None = None, implementation: Implementation = "plain") -> jax.Array:
  """softmax(q kᵀ/√K) v, the softmax in float32 at least.

  Args:
    q_BHTK: queries.
    k_BHSK: keys.
    v_BHSK: values.
    mask_BHTS: True where a query may look; broadcast. A query that may look nowhere gets the mean of all values.
    rate: dropout of the attention weights.
    key: for the dropout.
    implementation: "plain" products of matrices, for all devices; "cudnn" for NVIDIA's fused kernel, which needs such a GPU,
      bfloat16 or float16, and no dropout.
  """
  if implementation == "cudnn":
    assert not rate, "cuDNN's attention is used without dropout"
    swap = lambda x: x.swapaxes(1, 2)
    return swap(jax.nn.dot_product_attention(swap(q_BHTK), swap(k_BHSK), swap(v_BHSK), mask=mask_BHTS, implementation="cudnn"))
  if key is None or not rate:
    return _attend(q_BHTK, k_BHSK, v_BHSK, mask_BHTS)
  weights_BHTS = dropout(_weights(q_BHTK, k_BHSK, mask_BHTS), rate, key)
  return _product(weights_BHTS.astype(v_BHSK.dtype), v_BHSK)


@jax.custom_jvp
def _attend(q_BHTK, k_BHSK, v_BHSK, mask_BHTS):
  return _product(_weights(q_BHTK, k_BHSK, mask_BHTS).astype(v_BHSK.dtype), v_BHSK)


@_attend.defjvp
def _attend_jvp(primals, tangents):
  """The derivative in terms of the output, as FlashAttention has it (Dao et al. 2022, appendix B.2).

  With weights P and scores S: o' = (P∘S') v − rowsum(P∘S') o + P v'. Going back, rowsum asks for do·o, K numbers a query, where
  the softmax's own derivative asks for a sum over all keys; and with the output kept, P is all that is computed again.
  """
  (q, k, v, mask), (dq, dk, dv, _) = primals, tangents
  weights = _weights(q, k, mask)
  out = checkpoint_name(_product(weights.astype(v.dtype), v), ATTENTION)
  moved = _scores(dq, k) + _scores(q, dk)
  if mask is not None:
    moved = jnp.where(mask, moved, 0)
  moved = weights * moved
  total = jnp.sum(moved, -1, keepdims=True).astype(out.dtype)
  return out, _product(moved.astype(v.dtype), v) - total * out + _product(weights.astype(v.dtype), dv)


def _scores(q_BHTK, k_BHSK):
  wide = jnp.promote_types(q_BHTK.dtype, jnp.float32)
  return jnp.einsum("bhtk,bhsk->bhts", q_BHTK / math.sqrt(q_BHTK.shape[-1]), k_BHSK, preferred_element_type=wide)


def _weights(q_BHTK, k_BHSK, mask_BHTS):
  scores = _scores(q_BHTK, k_BHSK)
  if mask_BHTS is not None:
    scores = jnp.where(mask_BHTS, scores, jnp.finfo(scores.dtype).min)
  return jax.nn.softmax(scores)


def _product(weights_BHTS, v_BHSK):
  return jnp.einsum("bhts,bhsk->bhtk", weights_BHTS, v_BHSK)


class Attention(nnx.Module):
  """Self-attention, or attention to something else. Separate projections, so that rules can tell queries from values."""

  def __init__(self, dim: int, num_heads: int, *, bias: bool = True, qkv_bias: bool = True, dropout: float = 0.0,
               implementation: Implementation = "plain", init: Init = "lecun_normal", scale: float = 1.0,
               out_scale: float = 1.0, dtype=jnp.float32, rngs: nnx.Rngs):
    assert dim % num_heads == 0, (dim, num_heads)
    self.num_heads, self.dropout, self.implementation = num_heads, dropout, implementation
    dense = lambda bias, factor: Dense(dim, dim, bias=bias, init=init, scale=factor, dtype=dtype, rngs=rngs)
    self.query, self.key, self.value = (dense(bias and qkv_bias, scale) for _ in range(3))
    self.out = dense(bias, scale * out_scale)

  def __call__(self, x_BTD: jax.Array, mask_BHTS: jax.Array | None = None, *, memory_BSD: jax.Array | None = None,
               key: jax.Array | None = None) -> jax.Array:
    """Attends to memory_BSD, or to x_BTD itself. Returns (B, T, D)."""
    source_BSD = x_BTD if memory_BSD is None else memory_BSD
    q, k, v = dense(self.query, x_BTD), dense(self.key, source_BSD), dense(self.value, source_BSD)
    heads = lambda y_BTD: y_BTD.reshape(*y_BTD.shape[:2], self.num_heads, -1).swapaxes(1, 2)
    y_BHTK = attend(heads(q), heads(k), heads(v), mask_BHTS, rate=self.dropout, key=key, implementation=self.implementation)
    return dense(self.out, y_BHTK.swapaxes(1, 2).reshape(x_BTD.shape))
