"""Convolution layers, over one or two dimensions. Channels are last."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.convolve import Padding, convolve, window_on
from research.nn.initializers import Init, initialize, initialize_bias
from research.nn.norms import BatchNorm


class Conv(nnx.Module):
  """Cross-correlation with zero padding, over the dimensions of `size`. The kernel is (*size, inputs/groups, outputs).

  `fan_in` is what the kernel's initial values are drawn for, if not the inputs of one output.
  """

  def __init__(self, num_inputs: int, num_outputs: int, size: tuple[int, ...], *, stride: int = 1, padding: Padding = 0,
               dilation: int = 1, groups: int = 1, bias: bool = True, init: Init = "he_normal", fan_in: int | None = None,
               dtype=jnp.float32, rngs: nnx.Rngs):
    assert len(size) == 2 or (len(size) == 1 and padding != "SAME" and dilation == groups == 1), "not in one dimension"
    assert num_inputs % groups == num_outputs % groups == 0, (num_inputs, num_outputs, groups)
    self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
    taps = math.prod(size)
    fan_in = taps * num_inputs // groups if fan_in is None else fan_in
    shape = (*size, num_inputs // groups, num_outputs)
    self.kernel = nnx.Param(initialize(init, rngs.params(), shape, dtype, fan_in=fan_in, fan_out=taps * num_outputs))
    values = initialize_bias(init, rngs.params(), (num_outputs,), dtype, fan_in=fan_in)
    self.bias = nnx.Param(values) if bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    """x: (B, T, inputs) or (B, H, W, inputs).

    Returns the same with floor((n + 2·padding − dilation·(size − 1) − 1)/stride) + 1 for n, or ceil(n/stride) with "SAME".
    """
    kernel = self.kernel[...].astype(x.dtype)
    y = self._one(x, kernel) if kernel.ndim == 3 else self._two(x, kernel)
    return y if self.bias is None else y + self.bias[...].astype(x.dtype)

  def _one(self, x, kernel):
    # Patches times a matrix: XLA's own convolution over one dimension is many times slower on CPU inside a scan.
    size, num_inputs, num_outputs = kernel.shape
    assert self.padding != "SAME"
    x = jnp.pad(x, ((0, 0), (self.padding, self.padding), (0, 0)))
    length = (x.shape[1] - size) // self.stride + 1
    last = (length - 1) * self.stride + 1
    patches = jnp.concatenate([x[:, k:k + last:self.stride] for k in range(size)], -1)
    y = patches.reshape(-1, size * num_inputs) @ kernel.reshape(-1, num_outputs)
    return y.reshape(x.shape[0], length, num_outputs)

  def _two(self, x, kernel):
    return convolve(x, kernel, window_on(
        x, kernel.shape[:2], stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups))


class ConvNorm(nnx.Module):
  """A convolution over images, then batch normalisation; or, once that is folded into it (eps None), one with a bias alone.

  Args of the constructor: as of Conv; eps, decay, frozen as of BatchNorm.
  """

  def __init__(self, num_inputs: int, num_outputs: int, size: int, *, eps: float | None, decay: float, frozen: bool,
               bias: bool = False, dtype=jnp.float32, rngs: nnx.Rngs, **others):
    self.conv = Conv(num_inputs, num_outputs, (size, size), bias=bias or eps is None, dtype=dtype, rngs=rngs, **others)
    self.norm = None if eps is None else BatchNorm(num_outputs, eps=eps, decay=decay, frozen=frozen, dtype=dtype)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, H, W, outputs). A key means training, as in BatchNorm."""
    y = self.conv(x_BHWC)
    return y if self.norm is None else self.norm(y, key=key)
