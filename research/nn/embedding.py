"""Vectors for tokens and for positions."""

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.initializers import initialize


class Embedding(nnx.Module):
  """A table of vectors, N(0, deviation²) at first."""

  def __init__(self, num_embeddings: int, dim: int, *, deviation: float = 0.02, dtype=jnp.float32, rngs: nnx.Rngs):
    table = initialize("normal", rngs.params(), (num_embeddings, dim), dtype, fan_in=dim, fan_out=dim, scale=deviation)
    self.embedding = nnx.Param(table)

  def __call__(self, indices: jax.Array) -> jax.Array:
    """indices: integers (...). Returns (..., dim)."""
    return self.embedding[...][indices]

  def logits(self, x: jax.Array) -> jax.Array:
    """Scores x (..., dim) against each vector: the output layer tied to the embedding (Press, Wolf 2017)."""
    return (x.reshape(-1, x.shape[-1]) @ self.embedding[...].astype(x.dtype).T).reshape(*x.shape[:-1], -1)


def positions_in_segments(segments_BT: jax.Array) -> jax.Array:
  """(B, T): each position counted from the start of its segment."""
  positions = jnp.arange(segments_BT.shape[1])
  starts = jnp.pad(segments_BT[:, 1:] != segments_BT[:, :-1], ((0, 0), (1, 0)))
  return positions - jax.lax.cummax(jnp.where(starts, positions, 0), axis=1)


def sinusoids(positions: jax.Array, dim: int) -> jax.Array:
  """sin and cos of position/10000^(2i/dim), sines in the first half (Vaswani et al. 2017, where they alternate).

  positions: (...) integers. Returns (..., dim), dim even.
  """
  frequencies = 10_000.0 ** (-jnp.arange(0, dim, 2) / dim)
  angles = positions[..., None] * frequencies
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
