"""The Conformer's layer (Gulati et al. 2020): two half steps of a two-layer network, between them attention and convolution.

Shapes: B utterances, T frames, P = 2T distances, D model.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.norms import BatchNorm, LayerNorm
from research.nn.products import dense
from research.nn.relative_attention import RelativeAttention

ConvolutionNorm = Literal["batch", "layer"]


class ConvolutionModule(nnx.Module):
  """Dense, gated; a convolution of each channel over `kernel` frames; normalisation; Swish; dense. Padding counts as zeros."""

  def __init__(self, dim: int, kernel: int, norm: ConvolutionNorm, *, dtype, rngs: nnx.Rngs):
    self.up = Dense(dim, 2 * dim, dtype=dtype, rngs=rngs)
    self.depthwise = Conv(dim, dim, (1, kernel), padding="SAME", groups=dim, init="lecun_normal", dtype=dtype, rngs=rngs)
    self.norm = BatchNorm(dim, dtype=dtype) if norm == "batch" else LayerNorm(dim, dtype=dtype)
    self.down = Dense(dim, dim, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array, *, key: jax.Array | None) -> jax.Array:
    values, gates = jnp.split(dense(self.up, x_BTD), 2, -1)
    y_BTD = jnp.where(mask_BT[..., None], values * jax.nn.sigmoid(gates), 0)
    y_BTD = self.depthwise(y_BTD[:, None])[:, 0]
    y_BTD = self.norm(y_BTD, mask=mask_BT, key=key) if isinstance(self.norm, BatchNorm) else self.norm(y_BTD)
    return dense(self.down, jax.nn.silu(y_BTD))


class ConformerBlock(nnx.Module):
  """One layer. Each branch is normalised before and dropped out after it; the sum is normalised at the end."""

  def __init__(self, dim: int, num_heads: int, *, mlp_dim: int, kernel: int, norm: ConvolutionNorm, dropout: float,
               dtype=jnp.float32, rngs: nnx.Rngs):
    self.dropout = dropout
    layer = lambda n, m: Dense(n, m, dtype=dtype, rngs=rngs)
    self.first_up, self.first_down = layer(dim, mlp_dim), layer(mlp_dim, dim)
    self.attention = RelativeAttention(dim, num_heads, dtype=dtype, rngs=rngs)
    self.convolution = ConvolutionModule(dim, kernel, norm, dtype=dtype, rngs=rngs)
    self.second_up, self.second_down = layer(dim, mlp_dim), layer(mlp_dim, dim)
    layer_norm = lambda: LayerNorm(dim, dtype=dtype)
    self.first_norm, self.attention_norm, self.convolution_norm, self.second_norm, self.last_norm = (
        layer_norm() for _ in range(5))

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array, distances_PD: jax.Array, *,
               key: jax.Array | None = None) -> jax.Array:
    """Returns (B, T, D). mask: True where there is no padding."""
    drop = lambda y, i: dropout(y, self.dropout, fold(key, i))
    feed = lambda up, down, y, i: drop(dense(down, drop(jax.nn.silu(dense(up, y)), i)), i + 1)
    x_BTD = x_BTD + 0.5 * feed(self.first_up, self.first_down, self.first_norm(x_BTD), 0)
    x_BTD = x_BTD + drop(self.attention(self.attention_norm(x_BTD), mask_BT, distances_PD), 2)
    x_BTD = x_BTD + drop(self.convolution(self.convolution_norm(x_BTD), mask_BT, key=key), 3)
    x_BTD = x_BTD + 0.5 * feed(self.second_up, self.second_down, self.second_norm(x_BTD), 4)
    return self.last_norm(x_BTD)
