"""Convolution of images: XLA's own, and on CPU forms of it that are faster.

XLA:CPU has a good forward convolution and, by it, a good gradient of the image. The gradient of the kernel reaches a tenth to a
half of their speed, pointwise convolutions are slower than the product of matrices that they are, and depthwise ones 30 times
slower than adding up shifted images; 3x3 convolutions between many channels need fewer operations than they are defined by
(tests/benchmarks/convolution.py). Each form is made of ordinary operations, so derivatives of every order and kind exist; other
devices never see it.

Shapes: B examples, H height, W width, C channels, K outputs, P places of a block, T entries that one output is made of.
"""

import functools
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from research.nn import winograd
from research.nn.products import added, product

# A number on all sides, or TensorFlow's rule: ceil(n/stride) outputs for n, and of an odd number the larger half comes last.
Padding = Literal["SAME"] | int

_PATCHES = 1_400_000  # entries of one block's patches at most: they stay in the cache


class Window(NamedTuple):
  """How a kernel moves over an image, each for (height, width)."""

  stride: tuple[int, int] = (1, 1)
  padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
  dilation: tuple[int, int] = (1, 1)
  groups: int = 1


def window_on(x_BHWC: jax.Array, size: tuple[int, int], *, stride: int, padding: Padding, dilation: int = 1,
              groups: int = 1) -> Window:
  """The window of such a size on such an image."""
  if padding != "SAME":
    return Window((stride, stride), ((padding, padding), (padding, padding)), (dilation, dilation), groups)
  reach = [(length - 1) * dilation + 1 for length in size]
  height, width = jax.lax.padtype_to_pads(x_BHWC.shape[1:3], reach, (stride, stride), "SAME")
  return Window((stride, stride), (height, width), (dilation, dilation), groups)


def convolve(x_BHWC: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
  """Cross-correlation with a kernel (height, width, C/groups, K). Returns (B, rows, columns, K)."""
  plain = functools.partial(_plain, window=window)
  size, channels = kernel.shape[:2], x_BHWC.shape[-1]
  if window.groups == 1:
    fast = (_pointwise if size == (1, 1) and window.padding == ((0, 0), (0, 0)) else
            _by_tiles if _has_tiles(x_BHWC, kernel, window) else _by_patches)
  elif window.groups == channels == kernel.shape[-1]:
    fast = _depthwise
  else:
    return plain(x_BHWC, kernel)
  return jax.lax.platform_dependent(x_BHWC, kernel, cpu=functools.partial(fast, window=window), default=plain)


def taps(x_BHWC: jax.Array, size: tuple[int, int], window: Window) -> list[jax.Array]:
  """For each entry of a window of this size, row by row, what it meets in a padded image: (B, rows, columns, C) each."""
  spans = []
  for side, length, stride, dilation in zip(x_BHWC.shape[1:3], size, window.stride, window.dilation):
    last = (side - (length - 1) * dilation - 1) // stride * stride
    spans.append([slice(k * dilation, k * dilation + last + 1, stride) for k in range(length)])
  return [x_BHWC[:, rows, columns] for rows in spans[0] for columns in spans[1]]


def padded(x_BHWC: jax.Array, window: Window, value: float = 0.0) -> jax.Array:
  """The image with its padding."""
  return jnp.pad(x_BHWC, ((0, 0), *window.padding, (0, 0)), constant_values=value)


def _plain(x_BHWC, kernel, window):
  return jax.lax.conv_general_dilated(
      x_BHWC, kernel, window.stride, window.padding, rhs_dilation=window.dilation, feature_group_count=window.groups,
      dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _pointwise(x_BHWC, kernel, window):
  x_BHWC = x_BHWC[:, ::window.stride[0], ::window.stride[1]]
  return product(x_BHWC.reshape(-1, x_BHWC.shape[-1]), kernel[0, 0]).reshape(*x_BHWC.shape[:-1], -1)


def _has_tiles(x_BHWC, kernel, window):
  """Whether Winograd's form exists, is exact enough and pays: transforming tiles and kernels costs less than it saves."""
  places = x_BHWC.shape[0] * x_BHWC.shape[1] * x_BHWC.shape[2]
  return (kernel.shape[:2] == (3, 3) and window.stride == window.dilation == (1, 1) and max(map(max, window.padding)) <= 2
          and x_BHWC.dtype in (jnp.float32, jnp.float64) and min(kernel.shape[2:]) >= 64 and places >= 256)


def _by_tiles(x_BHWC, kernel, window):
  return winograd.convolve(x_BHWC, kernel, window.padding)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _depthwise(x_BHWC, kernel, window):
  return _shifted(padded(x_BHWC, window), kernel, window)


@functools.partial(_depthwise.defjvp, symbolic_zeros=True)
def _depthwise_jvp(window, primals, tangents):
  # As for tiles, the derivative along the image is written as what is transposed into its gradient: the outputs' gradient,
  # shifted. Itself would become a sum of padded images, which XLA computes five times slower behind an activation.
  (x, kernel), (dx, dkernel) = primals, tangents
  y = _depthwise(x, kernel, window)
  along_image = lambda: jax.linear_transpose(lambda g: _gradient_of_image(g, kernel, window, x.shape[1:3]), y)(dx)[0]
  return y, added((dx, along_image), (dkernel, lambda: _shifted(padded(x, window), dkernel, window)))


def _gradient_of_image(g_BHWC, kernel, window, sides):
  filled = [(0, 0, 0)]
  for n, side, length, stride, (first, _), dilation in zip(
      g_BHWC.shape[1:3], sides, kernel.shape, window.stride, window.padding, window.dilation):
    before = (length - 1) * dilation - first
    filled.append((before, side + first - (n - 1) * stride - 1, stride - 1))
  g_BHWC = jax.lax.pad(g_BHWC, jnp.zeros((), g_BHWC.dtype), [*filled, (0, 0, 0)])
  return _shifted(g_BHWC, kernel[::-1, ::-1], window._replace(stride=(1, 1)))


def _shifted(x_BHWC, kernel, window):
  """The sum of a padded image's shifts, each times its weights."""
  weights = kernel.reshape(-1, kernel.shape[-1])
  return functools.reduce(jnp.add, (image * weight for image, weight in zip(taps(x_BHWC, kernel.shape[:2], window), weights)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _by_patches(x_BHWC, kernel, window):
  return _plain(x_BHWC, kernel, window)


@functools.partial(_by_patches.defjvp, symbolic_zeros=True)
def _by_patches_jvp(window, primals, tangents):
  # Going back, `_in_blocks` is transposed into a scan that adds up, over the blocks, (gradient of the outputs)ᵀ patches.
  (x, kernel), (dx, dkernel) = primals, tangents
  return _by_patches(x, kernel, window), added((dx, lambda: _plain(dx, kernel, window)),
                                               (dkernel, lambda: _in_blocks(x, dkernel, window)))


def _in_blocks(x_BHWC, kernel, window):
  """The convolution as products of the kernel with patches: a few rows of one image at a time, or some small images."""
  size, num_outputs = kernel.shape[:2], kernel.shape[-1]
  x_BHWC = padded(x_BHWC, window)
  reach = [(length - 1) * dilation + 1 for length, dilation in zip(size, window.dilation)]
  rows, columns = ((side - r) // stride + 1 for side, r, stride in zip(x_BHWC.shape[1:3], reach, window.stride))
  places = max(1, _PATCHES // math.prod(kernel.shape[:3]))
  height = _divisor(rows, places // columns)
  images = _divisor(len(x_BHWC), places // (rows * columns)) if height == rows else 1
  kernel_KT = kernel.reshape(-1, num_outputs).T  # its gradient then is a product as it is wanted, without a transposition
  block = (images, (height - 1) * window.stride[0] + reach[0], *x_BHWC.shape[2:])

  @functools.partial(jax.checkpoint, prevent_cse=False)  # else the patches of all blocks would be kept
  def outputs_of(index, x_BHWC, kernel_KT):
    place = (index // (rows // height) * images, index % (rows // height) * height * window.stride[0], 0, 0)
    patches = jnp.concatenate(taps(jax.lax.dynamic_slice(x_BHWC, place, block), size, window), -1)
    return jax.lax.dot_general(patches.reshape(-1, kernel_KT.shape[1]), kernel_KT, (((1,), (1,)), ((), ())))

  num_blocks = len(x_BHWC) // images * (rows // height)
  _, y = jax.lax.scan(lambda _, index: (None, outputs_of(index, x_BHWC, kernel_KT)), None, jnp.arange(num_blocks))
  return y.reshape(-1, rows, columns, num_outputs)


def _divisor(number: int, limit: int) -> int:
  """The largest divisor of a number that is at most the limit, or 1."""
  return max((d for d in range(1, min(number, limit) + 1) if number % d == 0), default=1)
