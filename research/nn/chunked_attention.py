"""Attention that never holds all scores (Rabe, Staats 2021): chunk after chunk of queries and keys, with a running softmax.

Shapes: b memories, n rows of queries that share one, G heads of keys and values, m heads of queries that share one of them,
T queries, S keys, K size of a head; t and s are those of a chunk.
"""

import functools

import jax
import jax.numpy as jnp

from research.nn.dropout import dropout, fold


def attend_chunked(q_BHTK: jax.Array, k_bGSK: jax.Array, v_bGSK: jax.Array, mask_BHTS: jax.Array | None = None,
                   bias_BHTS: jax.Array | None = None, *, rate: float = 0.0, key: jax.Array | None = None,
                   num_queries: int = 1024, num_keys: int = 4096) -> jax.Array:
  """softmax(q kᵀ + bias) v, the softmax in float32 at least; see `research.nn.attention.attend`.

  Going back, each chunk's scores are computed again: memory grows with T·K·S/num_keys, not with T·S. (A mask or bias of all
  pairs is itself T·S large, for every head that has its own.)

  Args:
    q_BHTK: queries, scaled. B = b·n, H = G·m.
    k_bGSK: keys.
    v_bGSK: values.
    mask_BHTS: True where a query may look; broadcast.
    bias_BHTS: added to the scores; broadcast.
    rate: dropout of the attention weights.
    key: for the dropout.
    num_queries: of a chunk.
    num_keys: of a chunk.
  """
  (num_rows, heads, length, size), (memories, groups, num_all, _) = q_BHTK.shape, k_bGSK.shape
  n, m = num_rows // memories, heads // groups
  assert (n * memories, m * groups) == (num_rows, heads), (q_BHTK.shape, k_bGSK.shape)
  num_queries, num_keys = min(num_queries, length), min(num_keys, num_all)
  pads = (-length % num_queries, -num_all % num_keys)
  q = _padded(q_BHTK.reshape(memories, n, groups, m, length, size), {4: pads[0]})
  k, v = (_padded(x, {2: pads[1]}) for x in (k_bGSK, v_bGSK))
  seen, bias = (None if x is None else _padded(_apart(x, (memories, n, groups, m)), dict(zip((4, 5), pads)))
                for x in (mask_BHTS, bias_BHTS))
  wide = jnp.promote_types(q.dtype, jnp.float32)
  lowest = jnp.finfo(wide).min

  def of_queries(i):
    q_t = jax.lax.dynamic_slice_in_dim(q, i * num_queries, num_queries, 4)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add(carried, j):
      out, total, top = carried
      at = functools.partial(_chunk, i=i * num_queries, j=j * num_keys, sizes=(num_queries, num_keys))
      k_s, v_s = (jax.lax.dynamic_slice_in_dim(x, j * num_keys, num_keys, 2) for x in (k, v))
      scores = jnp.einsum("bngmtk,bgsk->bngmts", q_t, k_s, preferred_element_type=wide)
      if bias is not None:
        scores = scores + at(bias).astype(wide)
      if seen is not None:
        scores = jnp.where(at(seen), scores, lowest)
      if pads[1]:
        scores = jnp.where(j * num_keys + jnp.arange(num_keys) < num_all, scores, -jnp.inf)
      higher = jax.lax.stop_gradient(jnp.maximum(top, jnp.max(scores, -1, keepdims=True)))
      weights, kept = jnp.exp(scores - higher), jnp.exp(top - higher)
      dropped = dropout(weights, rate, fold(fold(key, i), j)).astype(v.dtype)
      product = jnp.einsum("bngmts,bgsk->bngmtk", dropped, v_s, preferred_element_type=wide)
      return (out * kept + product, total * kept + jnp.sum(weights, -1, keepdims=True), higher), None

    none = jnp.zeros((*q_t.shape[:-1], 1), wide)
    (out, total, _), _ = jax.lax.scan(
        add, (jnp.zeros((*q_t.shape[:-1], v.shape[-1]), wide), none, jnp.full_like(none, lowest)),
        jnp.arange(k.shape[2] // num_keys))
    return (out / total).astype(v.dtype)

  out = jax.lax.map(of_queries, jnp.arange(q.shape[4] // num_queries))  # (chunks, b, n, G, m, t, K)
  out = jnp.moveaxis(out, 0, 4).reshape(num_rows, heads, q.shape[4], -1)
  return out[:, :, :length]


def _padded(x, ends: dict[int, int]):
  """Longer in some dimensions, but for those that are broadcast."""
  return jnp.pad(x, [(0, ends.get(d, 0) if x.shape[d] > 1 else 0) for d in range(x.ndim)]) if any(ends.values()) else x


def _apart(x, sizes):
  """A mask or bias (B, H, T, S) as (b, n, G, m, T, S); what is broadcast stays of size 1."""
  memories, n, groups, m = sizes
  rows = (memories, n) if x.shape[0] == memories * n else (x.shape[0], 1)  # else of each memory, or of all
  return x.reshape(*rows, *((groups, m) if x.shape[1] > 1 else (1, 1)), *x.shape[2:])


def _chunk(x, i, j, sizes):
  for axis, start, size in ((4, i, sizes[0]), (5, j, sizes[1])):
    x = jax.lax.dynamic_slice_in_dim(x, start, size, axis) if x.shape[axis] > 1 else x
  return x
