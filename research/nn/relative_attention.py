"""Self-attention with relative positions as Transformer-XL has them (Dai et al. 2019), in both directions.

  score of a query t for a key s = ((q_t + u)·k_s + (q_t + v)·r_(t−s)) / √K

r is a projection of sinusoids of the distance, u and v are learned. Shapes: B examples, T positions, S keys, P = 2T
distances, H heads, K size of a head, D model.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.attention import attend
from research.nn.dense import Dense
from research.nn.embedding import sinusoids
from research.nn.products import dense


def distances(length: int, dim: int) -> jax.Array:
  """Sinusoids (P, D) of the distances T − 1 to −T, query minus key. The last makes the number even; no key has it."""
  return sinusoids(jnp.arange(length - 1, -length - 1, -1), dim)


class RelativeAttention(nnx.Module):
  """Parameters: query, key, value, out and position (without bias), content_bias (H, K), position_bias (H, K)."""

  def __init__(self, dim: int, num_heads: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
    assert dim % num_heads == 0, (dim, num_heads)
    self.num_heads, self.head_dim = num_heads, dim // num_heads
    project = lambda bias=True: Dense(dim, dim, bias=bias, dtype=dtype, rngs=rngs)
    self.query, self.key, self.value, self.out, self.position = project(), project(), project(), project(), project(False)
    zeros = lambda: nnx.Param(jnp.zeros((num_heads, self.head_dim), dtype))
    self.content_bias, self.position_bias = zeros(), zeros()

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array, distances_PD: jax.Array) -> jax.Array:
    """Returns (B, T, D). mask: True where there is something to be seen. distances: of `distances`."""
    heads = lambda y: y.reshape(*y.shape[:-1], self.num_heads, self.head_dim).swapaxes(-2, -3)
    q, k, v = (heads(dense(layer, x_BTD)) for layer in (self.query, self.key, self.value))
    r_HPK = heads(dense(self.position, distances_PD.astype(x_BTD.dtype)))
    q_content, q_position = (q + bias[...].astype(q.dtype)[:, None] for bias in (self.content_bias, self.position_bias))
    # Each example has a copy of r, else XLA:CPU multiplies all at once and then transposes what comes of it.
    r_BHPK = jnp.broadcast_to(r_HPK, (q.shape[0], *r_HPK.shape))
    bias_BHTS = _by_key(jnp.einsum("bhtk,bhpk->bhtp", q_position / math.sqrt(self.head_dim), r_BHPK))
    y_BHTK = attend(q_content, k, v, mask_BT[:, None, None], bias_BHTS=bias_BHTS)
    return dense(self.out, y_BHTK.swapaxes(1, 2).reshape(x_BTD.shape))


def _by_key(scores_BHTP: jax.Array) -> jax.Array:
  """Scores of distances as scores of keys (B, H, T, S): row t begins T − 1 − t places later. One slice moves all rows."""
  *sizes, length, num = scores_BHTP.shape
  rows = scores_BHTP.reshape(*sizes, length * num)[..., length - 1:length - 1 + length * (num - 1)]
  return rows.reshape(*sizes, length, num - 1)[..., :length]
