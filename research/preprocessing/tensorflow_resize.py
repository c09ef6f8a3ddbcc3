"""`tf.image.resize` in NumPy: the same taps and weights. in, out: pixels along a side, K: taps of one output pixel."""

import functools
import math

import numpy as np


def resize(images: np.ndarray, size: tuple[int, int], interpolation: str, antialias: bool) -> np.ndarray:
  """Resizes (..., H, W, C) to (..., *size, C), as float32; nearest keeps the type.

  Args:
    images: numbers of any type.
    size: height and width of the result.
    interpolation: bilinear, bicubic, area or nearest.
    antialias: whether the kernel grows with the factor by which images shrink; bilinear and bicubic only.
  """
  for axis, out in ((-3, size[0]), (-2, size[1])):
    indices_OK, weights_OK = taps(images.shape[axis], out, interpolation, antialias)
    if interpolation == "nearest":
      images = images.take(indices_OK[:, 0], axis)
    else:
      images = _weighted(images, axis, indices_OK, weights_OK)
  return images


def _weighted(images: np.ndarray, axis: int, indices_OK: np.ndarray, weights_OK: np.ndarray) -> np.ndarray:
  shape = (-1,) + (1,) * (-axis - 1)
  total = images.take(indices_OK[:, 0], axis) * weights_OK[:, 0].reshape(shape)
  for k in range(1, indices_OK.shape[1]):
    total += images.take(indices_OK[:, k], axis) * weights_OK[:, k].reshape(shape)
  return total


@functools.lru_cache(maxsize=256)  # photographs come in few sizes
def taps(num_in: int, num_out: int, interpolation: str, antialias: bool) -> tuple[np.ndarray, np.ndarray]:
  """Which input pixels make up each output pixel and with what weights: (out, K) int64 and float32, rows summing to 1."""
  scale = num_in / num_out
  if interpolation == "nearest":
    nearest = np.floor((np.arange(num_out) + 0.5) * scale).astype(np.int64)
    return np.minimum(nearest, num_in - 1)[:, None], np.ones((num_out, 1), np.float32)
  if interpolation == "area":
    # How much of each input pixel lies within the stretch that an output pixel covers.
    start = np.arange(num_out)[:, None] * scale
    indices = np.floor(start).astype(np.int64) + np.arange(math.ceil(scale) + 1)
    weights = np.clip(np.minimum(indices + 1, start + scale) - np.maximum(indices, start), 0, None)
    return _normalised(indices, weights, num_in)
  kernel, radius = {"bilinear": (_triangle, 1), "bicubic": (_keys_cubic, 2)}[interpolation]
  width = max(scale, 1.0) if antialias else 1.0
  centre = (np.arange(num_out)[:, None] + 0.5) * scale - 0.5
  indices = np.floor(centre - radius * width).astype(np.int64) + np.arange(2 * math.ceil(radius * width) + 2)
  if interpolation == "bilinear" and not antialias:  # the only kernel that repeats the border instead of leaving it out
    return _trimmed(np.clip(indices, 0, num_in - 1), kernel(indices - centre))
  distance = (indices - centre) / width
  if not antialias:
    distance = np.rint(distance * 1024) / 1024  # TensorFlow looks these weights up in a table of 1,024 steps
  return _normalised(indices, kernel(distance), num_in)


def _normalised(indices: np.ndarray, weights: np.ndarray, num_in: int) -> tuple[np.ndarray, np.ndarray]:
  weights = np.where((indices >= 0) & (indices < num_in), weights, 0)
  return _trimmed(np.clip(indices, 0, num_in - 1), weights / weights.sum(1, keepdims=True))


def _trimmed(indices: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  used = np.flatnonzero(np.abs(weights).max(0) > 0)
  kept = slice(used[0], used[-1] + 1)
  return np.ascontiguousarray(indices[:, kept]), weights[:, kept].astype(np.float32)


def _triangle(x: np.ndarray) -> np.ndarray:
  return np.clip(1 - np.abs(x), 0, None)


def _keys_cubic(x: np.ndarray) -> np.ndarray:
  """Keys 1981 (IEEE Transactions on Acoustics, Speech, and Signal Processing), a = -1/2."""
  x = np.abs(x)
  near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
  return np.where(x <= 1, near, np.where(x < 2, far, 0))
