"""Convolution over one or two dimensions. Channels are last."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.initializers import Init, initialize, initialize_bias


class Conv(nnx.Module):
  """Cross-correlation with zero padding, over the dimensions of `size`. The kernel is (*size, inputs, outputs)."""

  def __init__(self, num_inputs: int, num_outputs: int, size: tuple[int, ...], *, stride: int = 1, padding: int = 0,
               bias: bool = True, init: Init = "he_normal", dtype=jnp.float32, rngs: nnx.Rngs):
    assert len(size) in (1, 2), size
    self.stride, self.padding = stride, padding
    taps = math.prod(size)
    fan_in, fan_out = taps * num_inputs, taps * num_outputs
    shape = (*size, num_inputs, num_outputs)
    self.kernel = nnx.Param(initialize(init, rngs.params(), shape, dtype, fan_in=fan_in, fan_out=fan_out))
    values = initialize_bias(init, rngs.params(), (num_outputs,), dtype, fan_in=fan_in)
    self.bias = nnx.Param(values) if bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    """x: (B, T, inputs) or (B, H, W, inputs). Returns the same with floor((n + 2·padding − size)/stride) + 1 for n."""
    kernel = self.kernel[...].astype(x.dtype)
    y = self._one(x, kernel) if kernel.ndim == 3 else self._two(x, kernel)
    return y if self.bias is None else y + self.bias[...].astype(x.dtype)

  def _one(self, x, kernel):
    # Patches times a matrix: XLA's own convolution over one dimension is many times slower on CPU inside a scan.
    size, num_inputs, num_outputs = kernel.shape
    x = jnp.pad(x, ((0, 0), (self.padding, self.padding), (0, 0)))
    length = (x.shape[1] - size) // self.stride + 1
    last = (length - 1) * self.stride + 1
    patches = jnp.concatenate([x[:, k:k + last:self.stride] for k in range(size)], -1)
    y = patches.reshape(-1, size * num_inputs) @ kernel.reshape(-1, num_outputs)
    return y.reshape(x.shape[0], length, num_outputs)

  def _two(self, x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (self.stride,) * 2, [(self.padding, self.padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))
