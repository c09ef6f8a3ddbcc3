"""Pictures, their files and the randomness of examples, for tests of image transforms."""

import io

import numpy as np
from PIL import Image

from research.preprocessing.randomness import Randomness


def photo(height=60, width=80, seed=0) -> np.ndarray:
  """(height, width, 3) uint8: smooth shapes with some grain."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[0:height, 0:width]
  waves = np.stack([128 + 100 * np.sin(x / a + seed) * np.cos(y / b) for a, b in ((9, 13), (17, 7), (5, 23))], -1)
  return np.clip(waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind="PNG", **options) -> bytes:
  """The bytes of an image file."""
  file = io.BytesIO()
  picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  picture.save(file, kind, **options)
  return file.getvalue()


def randomness(indices, seed=0, epoch=0) -> Randomness:
  """The streams of these examples."""
  indices = np.asarray(indices)
  return Randomness.of(seed, np.full(indices.shape, epoch), indices)


def difference(ours: np.ndarray, theirs) -> int:
  """The largest difference, in grey levels."""
  assert ours.shape == np.shape(theirs), (ours.shape, np.shape(theirs))
  return int(np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max())
