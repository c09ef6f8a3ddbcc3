"""Convolutions over time of networks that read samples: from samples to frames, and of frames to tell where they stand.

Shapes: B utterances, T frames, C channels, D model, K taps.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.activations import gelu
from research.nn.convolution import Conv
from research.nn.initializers import initialize
from research.nn.norms import LayerNorm


class FrameConv(nnx.Module):
  """A convolution over time, a normalisation, GELU. Parameters: conv/kernel (K, C, C), norm/scale.

  norm: of every channel over time, of the channels of every frame, or none.
  """

  def __init__(self, num_inputs: int, num_outputs: int, size: int, *, stride: int, bias: bool,
               norm: Literal["time", "frame"] | None, dtype, rngs: nnx.Rngs):
    self.conv = Conv(num_inputs, num_outputs, (size,), stride=stride, bias=bias, dtype=dtype, rngs=rngs)
    self.over_time = norm == "time"
    if norm is not None:
      self.norm = LayerNorm(num_outputs, dtype=dtype)

  def __call__(self, x_BTC: jax.Array, counts_BT: jax.Array | None) -> jax.Array:
    """counts_BT: which of the new frames are no padding; None where all count."""
    x_BTC = self.conv(x_BTC)
    if hasattr(self, "norm"):
      x_BTC = self._over_time(x_BTC, counts_BT) if self.over_time else self.norm(x_BTC)
    return gelu(x_BTC)

  def _over_time(self, x_BTC, counts_BT):
    where = None if counts_BT is None else counts_BT[..., None]
    wide = x_BTC.astype(jnp.promote_types(x_BTC.dtype, jnp.float32))
    mean_B1C = jnp.mean(wide, 1, keepdims=True, where=where)
    variance_B1C = jnp.mean(jnp.square(wide - mean_B1C), 1, keepdims=True, where=where)
    normal = (wide - mean_B1C) * jax.lax.rsqrt(variance_B1C + self.norm.eps)
    normal = normal * self.norm.scale[...] + self.norm.bias[...]
    return (normal if where is None else jnp.where(where, normal, 0)).astype(x_BTC.dtype)  # nothing else is 0/0


class PositionConv(nnx.Module):
  """A grouped convolution over frames with as many outputs, whose weights have a direction and a size a tap (weight norm).

  Parameters: kernel (K, D/groups, D), scale (K,), bias (D,).
  """

  def __init__(self, dim: int, size: int, groups: int, *, dtype, rngs: nnx.Rngs):
    self.size, self.groups = size, groups
    shape = (size, dim // groups, dim)
    kernel = initialize("normal", rngs.params(), shape, dtype, fan_in=1, fan_out=1, scale=2 / (size * dim) ** 0.5)
    self.kernel, self.scale = nnx.Param(kernel), nnx.Param(jnp.sqrt(jnp.square(kernel).sum((1, 2))))
    self.bias = nnx.Param(jnp.zeros(dim, dtype))

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """Returns (B, T, D)."""
    kernel = self.kernel[...]
    kernel = kernel * (self.scale[...] * jax.lax.rsqrt(jnp.square(kernel).sum((1, 2))))[:, None, None]
    before, after = self.size // 2, (self.size - 1) // 2
    y = jax.lax.conv_general_dilated(
        x_BTD, kernel.astype(x_BTD.dtype), (1,), ((before, after),), feature_group_count=self.groups,
        dimension_numbers=("NWC", "WIO", "NWC"))
    return gelu(y + self.bias[...].astype(x_BTD.dtype))
