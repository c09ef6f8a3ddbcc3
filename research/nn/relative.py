"""T5's relative positions (Raffel et al. 2020): a number for each head and each range of distances, added to the scores.

Shapes: H heads, T queries, S keys.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.embedding import Embedding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Relative:
  """Ranges of distances.

  Attributes:
    num_buckets: ranges; half of them, for small distances, hold one distance each.
    max_distance: where the last range begins.
    deviation: of the initial numbers.
  """

  num_buckets: int = 32
  max_distance: int = 128
  deviation: float = 0.02


class RelativeBias(nnx.Module):
  """The numbers of a stack of layers, which share them. `causal`: all keys come before; no ranges for later ones."""

  def __init__(self, config: Relative, num_heads: int, *, causal: bool, dtype, rngs: nnx.Rngs):
    self.config, self.causal = config, causal
    self.table = Embedding(config.num_buckets, num_heads, deviation=config.deviation, dtype=dtype, rngs=rngs)

  def __call__(self, queries_T: jax.Array, keys_S: jax.Array) -> jax.Array:
    """(1, H, T, S) of positions."""
    return self.table(self.buckets(keys_S[None, :] - queries_T[:, None])).transpose(2, 0, 1)[None]

  def buckets(self, distance: jax.Array) -> jax.Array:
    """The range of each distance, key minus query."""
    num, start = self.config.num_buckets, jnp.zeros_like(distance)
    if self.causal:
      distance = jnp.maximum(-distance, 0)
    else:
      num //= 2
      start, distance = jnp.where(distance > 0, num, 0), jnp.abs(distance)
    exact = num // 2
    ratio = jnp.log(jnp.maximum(distance, exact).astype(jnp.float32) / exact) / math.log(self.config.max_distance / exact)
    large = jnp.minimum(exact + (ratio * (num - exact)).astype(jnp.int32), num - 1)
    return start + jnp.where(distance < exact, distance, large)
