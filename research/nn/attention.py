"""Multi-head attention (Vaswani et al. 2017), with fewer heads for keys and values (Ainslie et al. 2023) where wanted.

Shapes: B examples, T queries, S keys, H heads of queries, G heads of keys and values (H a multiple of G), K size of a head,
D model. Keys may have fewer examples than queries: B/n, each shared by n consecutive rows of queries (the beams of a sentence).
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from research.nn.chunked_attention import attend_chunked
from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.initializers import Init
from research.nn.norms import RMSNorm
from research.nn.products import dense
from research.nn.rotary import Rotary

Implementation = Literal["plain", "chunked", "cudnn"]
_LONG, _BLOCK = 512, 160_000  # queries and keys from which on, and scores in which, CPUs do it in blocks
ATTENTION = "attention"  # the name under which rematerialisation finds, and keeps, what attention gives


class KeysValues(NamedTuple):
  """Keys and values, (B, G, S, K) each: of a memory, or of the positions decoded so far."""

  keys: jax.Array
  values: jax.Array


def causal_mask(length: int) -> jax.Array:
  """(1, 1, T, T): a position sees itself and what came before."""
  return jnp.tril(jnp.ones((length, length), bool))[None, None]


def segment_mask(segments_BT: jax.Array) -> jax.Array:
  """(B, 1, T, T): a position sees those of its own segment. Segment 0 is padding and is seen by nobody."""
  same = segments_BT[:, :, None] == segments_BT[:, None, :]
  return (same & (segments_BT != 0)[:, None, :])[:, None]


def attend(q_BHTK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, mask_BHTS: jax.Array | None = None, *,
           bias_BHTS: jax.Array | None = None, scale: float | None = None, rate: float = 0.0, key: jax.Array | None = None,
           implementation: Implementation = "plain") -> jax.Array:
  """softmax(scale q kᵀ + bias) v, the softmax in float32 at least.

  Args:
    q_BHTK: queries.
    k_BGSK: keys.
    v_BGSK: values.
    mask_BHTS: True where a query may look; broadcast. A query that may look nowhere gets the mean of all values.
    bias_BHTS: added to the scores; broadcast over B.
    scale: of the scores; None for 1/√K.
    rate: dropout of the attention weights.
    key: for the dropout.
    implementation: "plain" products of matrices, for all devices; "chunked" the same without holding all scores, for long
      inputs; "cudnn" for NVIDIA's fused kernel, which needs such a GPU, bfloat16 or float16, and no dropout.
  """
  if implementation == "cudnn":
    assert not rate, "cuDNN's attention is used without dropout"
    swap = lambda x: x.swapaxes(1, 2)
    return swap(jax.nn.dot_product_attention(swap(q_BHTK), swap(k_BGSK), swap(v_BGSK), bias_BHTS, mask_BHTS, scale=scale,
                                             implementation="cudnn"))
  q = q_BHTK / math.sqrt(q_BHTK.shape[-1]) if scale is None else q_BHTK if scale == 1 else q_BHTK * scale
  if implementation == "chunked":
    return attend_chunked(q, k_BGSK, v_BGSK, mask_BHTS, bias_BHTS, rate=rate, key=key)
  if q.shape[:2] != k_BGSK.shape[:2]:
    q, mask_BHTS, bias_BHTS = _as_queries(q, k_BGSK, mask_BHTS, bias_BHTS)
  if key is None or not rate:
    out = _attend(q, k_BGSK, v_BGSK, mask_BHTS, bias_BHTS)
  else:
    weights = dropout(_weights(q, k_BGSK, mask_BHTS, bias_BHTS), rate, key)
    out = _product(weights.astype(v_BGSK.dtype), v_BGSK)
  return out if out.shape == q_BHTK.shape else _as_heads(out, q_BHTK.shape)


def _as_queries(q_BHTK, k_BGSK, mask, bias):
  """Rows and heads of queries that share keys, as further queries (B/n, G, n·H/G·T, K): the keys are never repeated."""
  (num_rows, heads, length, size), (memories, groups) = q_BHTK.shape, k_BGSK.shape[:2]
  n, m = num_rows // memories, heads // groups
  assert (n * memories, m * groups) == (num_rows, heads), (q_BHTK.shape, k_BGSK.shape)
  q = q_BHTK.reshape(memories, n, groups, m, length, size).transpose(0, 2, 1, 3, 4, 5)
  return (q.reshape(memories, groups, n * m * length, size),
          *(x if x is None else _spread(x, (num_rows, heads, length, k_BGSK.shape[2]), memories, groups) for x in (mask, bias)))


def _spread(x, shape, memories, groups):
  """A mask or bias over (B, H, T, S) in the order of `_as_queries`."""
  if x.shape[:3] == (memories, 1, 1):
    return x  # says only what of each memory is real
  num_rows, heads, length, _ = shape
  x = jnp.broadcast_to(x, (num_rows if x.shape[0] == num_rows else 1, heads, length, x.shape[3]))
  x = jnp.broadcast_to(x, (num_rows, *x.shape[1:])).reshape(memories, -1, groups, heads // groups, length, x.shape[3])
  return x.transpose(0, 2, 1, 3, 4, 5).reshape(memories, groups, -1, x.shape[-1])


def _as_heads(out, shape):
  (num_rows, heads, length, size), (memories, groups) = shape, out.shape[:2]
  out = out.reshape(memories, groups, num_rows // memories, heads // groups, length, size)
  return out.transpose(0, 2, 1, 3, 4, 5).reshape(shape)


@jax.custom_jvp
def _attend(q_BHTK, k_BHSK, v_BHSK, mask_BHTS, bias_BHTS):
  whole = lambda *args: _product(_weights(*args[:2], *args[3:]).astype(args[2].dtype), args[2])
  args = q_BHTK, k_BHSK, v_BHSK, mask_BHTS, bias_BHTS
  if min(q_BHTK.shape[2], k_BHSK.shape[2]) < _LONG:
    return whole(*args)
  return jax.lax.platform_dependent(*args, cpu=_attend_in_blocks, default=whole)


def _attend_in_blocks(q_BHTK, k_BHSK, v_BHSK, mask_BHTS, bias_BHTS):
  """The same, some queries of one head at a time, so that their scores stay in the cache of a CPU's core."""
  (num, heads, length, _), num_keys = q_BHTK.shape, k_BHSK.shape[2]
  num_blocks = -(-length * num_keys // _BLOCK)
  block = -(-length // num_blocks)
  end = ((0, 0), (0, 0), (0, num_blocks * block - length), (0, 0))
  q, mask, bias = (x if x is None or x.shape[2] == 1 else jnp.pad(x, end) for x in (q_BHTK, mask_BHTS, bias_BHTS))

  def of(index):
    b, h, t = index // (heads * num_blocks), index // num_blocks % heads, index % num_blocks * block

    def part(x, start, rows):
      if x is None:
        return None
      at = [0 if isinstance(x.shape[d], int) and x.shape[d] == 1 else begin  # a batch of any size is a symbol
            for d, begin in enumerate((b, h, start))]
      return jax.lax.dynamic_slice(x, (*at, 0), (1, 1, min(rows, x.shape[2]), x.shape[3]))

    k, v = part(k_BHSK, 0, num_keys), part(v_BHSK, 0, num_keys)
    return _product(_weights(part(q, t, block), k, part(mask, t, block), part(bias, t, block)).astype(v.dtype), v)

  out = jax.lax.map(of, jnp.arange(num * heads * num_blocks))
  return out.reshape(num, heads, -1, v_BHSK.shape[3])[:, :, :length]


@_attend.defjvp
def _attend_jvp(primals, tangents):
  """The derivative in terms of the output, as FlashAttention has it (Dao et al. 2022, appendix B.2).

  With weights P and scores S: o' = (P∘S') v − rowsum(P∘S') o + P v'. Going back, rowsum asks for do·o, K numbers a query, where
  the softmax's own derivative asks for a sum over all keys; and with the output kept, P is all that is computed again.
  """
  (q, k, v, mask, bias), (dq, dk, dv, _, dbias) = primals, tangents
  weights = _weights(q, k, mask, bias)
  out = checkpoint_name(_product(weights.astype(v.dtype), v), ATTENTION)
  moved = _scores(dq, k) + _scores(q, dk)
  if bias is not None:
    moved = moved + dbias
  if mask is not None:
    moved = jnp.where(mask, moved, 0)
  moved = weights * moved
  total = jnp.sum(moved, -1, keepdims=True).astype(out.dtype)
  return out, _product(moved.astype(v.dtype), v) - total * out + _product(weights.astype(v.dtype), dv)


def _scores(q_BHTK, k_BHSK):
  wide = jnp.promote_types(q_BHTK.dtype, jnp.float32)
  return jnp.einsum("bhtk,bhsk->bhts", q_BHTK, k_BHSK, preferred_element_type=wide)


def _weights(q_BHTK, k_BHSK, mask_BHTS, bias_BHTS):
  scores = _scores(q_BHTK, k_BHSK)
  if bias_BHTS is not None:
    scores = scores + bias_BHTS.astype(scores.dtype)
  if mask_BHTS is not None:
    scores = jnp.where(mask_BHTS, scores, jnp.finfo(scores.dtype).min)
  return jax.nn.softmax(scores)


def _product(weights_BHTS, v_BHSK):
  return jnp.einsum("bhts,bhsk->bhtk", weights_BHTS, v_BHSK)


class Attention(nnx.Module):
  """Self-attention, or attention to something else. Separate projections, so that rules can tell queries from values.

  Args:
    dim: width of the model.
    num_heads: heads of queries.
    num_kv_heads: heads of keys and values; None for as many.
    head_dim: size of a head; None for dim / num_heads.
    bias: of the last projection.
    qkv_bias: of the others; None for that of `bias`.
    key_bias: of the keys; None for that of `qkv_bias`. It changes no score beside another's, and Whisper does without.
    qk_norm: normalise queries and keys, each head by itself, before they are turned (Dehghani et al. 2023).
    rotary: turns queries and keys by their position.
    scale: of the scores; None for 1/√head_dim. With another, queries' weights begin with what makes the scores as large.
    dropout: of the attention weights.
    implementation: see `attend`.
    init, init_scale, out_scale: initial weights, a factor on them, and a further one on the last projection's.
  """

  def __init__(self, dim: int, num_heads: int, *, num_kv_heads: int | None = None, head_dim: int | None = None,
               bias: bool = True, qkv_bias: bool | None = None, key_bias: bool | None = None, qk_norm: float | None = None,
               rotary: Rotary | None = None, scale: float | None = None, dropout: float = 0.0,
               implementation: Implementation = "plain", init: Init = "lecun_normal", init_scale: float = 1.0,
               out_scale: float = 1.0, dtype=jnp.float32, rngs: nnx.Rngs):
    num_kv_heads, head_dim = num_kv_heads or num_heads, head_dim or dim // num_heads
    assert num_heads % num_kv_heads == 0, (num_heads, num_kv_heads)
    self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, head_dim
    self.rotary, self.scale, self.dropout, self.implementation = rotary, scale, dropout, implementation
    qkv_bias = bias if qkv_bias is None else qkv_bias
    project = lambda heads, bias, factor=1.0: Dense(
        dim, heads * head_dim, bias=bias, init=init, scale=init_scale * factor, dtype=dtype, rngs=rngs)
    self.query = project(num_heads, qkv_bias, 1.0 if scale is None else 1 / (scale * math.sqrt(head_dim)))
    self.key = project(num_kv_heads, qkv_bias if key_bias is None else key_bias)
    self.value = project(num_kv_heads, qkv_bias)
    self.out = Dense(num_heads * head_dim, dim, bias=bias, init=init, scale=init_scale * out_scale, dtype=dtype, rngs=rngs)
    if qk_norm is not None:
      self.query_norm, self.key_norm = (RMSNorm(head_dim, eps=qk_norm, dtype=dtype) for _ in range(2))

  def __call__(self, x_BTD: jax.Array, mask_BHTS: jax.Array | None = None, *, memory_BSD: jax.Array | None = None,
               bias_BHTS: jax.Array | None = None, positions: jax.Array | None = None,
               key: jax.Array | None = None) -> jax.Array:
    """Attends to memory_BSD, or to x_BTD itself, at `positions` (T,) or (B, T). Returns (B, T, D)."""
    memory = self.keys_values(x_BTD if memory_BSD is None else memory_BSD, positions)
    return self.answer(x_BTD, memory, mask_BHTS, bias_BHTS=bias_BHTS, positions=positions, key=key)

  def keys_values(self, x_BSD: jax.Array, positions: jax.Array | None = None) -> KeysValues:
    """What queries will look at."""
    keys = self._turned(self._heads(dense(self.key, x_BSD)), "key_norm", positions)
    return KeysValues(keys, self._heads(dense(self.value, x_BSD)))

  def answer(self, x_BTD: jax.Array, memory: KeysValues, mask_BHTS: jax.Array | None = None, *,
             bias_BHTS: jax.Array | None = None, positions: jax.Array | None = None,
             key: jax.Array | None = None) -> jax.Array:
    """What x finds there. Returns (B, T, D)."""
    q_BHTK = self._turned(self._heads(dense(self.query, x_BTD)), "query_norm", positions)
    y_BHTK = attend(q_BHTK, *memory, mask_BHTS, bias_BHTS=bias_BHTS, scale=self.scale, rate=self.dropout, key=key,
                    implementation=self.implementation)
    return dense(self.out, y_BHTK.swapaxes(1, 2).reshape(*x_BTD.shape[:2], -1))

  def _heads(self, y_BTE):
    return y_BTE.reshape(*y_BTE.shape[:2], -1, self.head_dim).swapaxes(1, 2)

  def _turned(self, y_BHTK, norm, positions):
    y_BHTK = getattr(self, norm)(y_BHTK) if hasattr(self, norm) else y_BHTK
    return y_BHTK if self.rotary is None else self.rotary(y_BHTK, positions)
