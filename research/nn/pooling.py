"""Pooling of images (B, H, W, C)."""

import functools

import jax
import jax.numpy as jnp

from research.nn.convolve import Padding, padded, taps, window_on


def max_pool(x_BHWC: jax.Array, size: int, *, stride: int, padding: Padding = 0) -> jax.Array:
  """The largest of each window; padding is never the largest. Of equal ones the first, row by row, has the gradient.

  As in torch and Keras windows that do not fit are left out, but with "SAME" none is.
  """
  window = window_on(x_BHWC, (size, size), stride=stride, padding=padding)

  def plain(x):
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), ((0, 0), *window.padding, (0, 0)))

  # On CPU XLA's gradient of it takes eight times as long.
  return jax.lax.platform_dependent(x_BHWC, cpu=lambda x: _max_of_taps(x, size, window), default=plain)


def average_pool(x_BHWC: jax.Array, size: int, *, stride: int, padding: Padding = 0, count_padding: bool = True) -> jax.Array:
  """The mean of each window, in float32 at least; windows as in max_pool.

  Args:
    x_BHWC: images.
    size: side of a window.
    stride: between windows.
    padding: zeros around the image.
    count_padding: they count as entries: torch's default. Keras and TensorFlow divide by the number of real ones.
  """
  window = window_on(x_BHWC, (size, size), stride=stride, padding=padding)
  wide = x_BHWC.astype(jnp.promote_types(x_BHWC.dtype, jnp.float32))
  sums = functools.reduce(jnp.add, taps(padded(wide, window), (size, size), window))
  if count_padding:
    return (sums / size**2).astype(x_BHWC.dtype)
  ones = padded(jnp.ones((1, *x_BHWC.shape[1:3], 1), wide.dtype), window)
  return (sums / functools.reduce(jnp.add, taps(ones, (size, size), window))).astype(x_BHWC.dtype)


def global_average_pool(x_BHWC: jax.Array) -> jax.Array:
  """The mean over all places (B, C), summed up in float32 at least."""
  return jnp.mean(x_BHWC, (1, 2), dtype=jnp.promote_types(x_BHWC.dtype, jnp.float32)).astype(x_BHWC.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _max_of_taps(x_BHWC, size, window):
  return functools.reduce(jnp.maximum, taps(padded(x_BHWC, window, -jnp.inf), (size, size), window))


@_max_of_taps.defjvp
def _max_of_taps_jvp(size, window, primals, tangents):
  (x,), (dx,) = primals, tangents
  y = _max_of_taps(x, size, window)
  values, slopes = (taps(padded(array, window, fill), (size, size), window) for array, fill in ((x, -jnp.inf), (dx, 0.0)))
  first = jnp.full(y.shape, len(values) - 1)
  for i in reversed(range(len(values) - 1)):
    first = jnp.where(values[i] == y, i, first)
  # A sum of terms that each look at `first` alone: what XLA makes of nested choices takes four times as long.
  return y, functools.reduce(jnp.add, (jnp.where(first == i, slope, 0) for i, slope in enumerate(slopes)))
