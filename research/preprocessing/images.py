"""What all transforms of images share. An image is (H, W, C) uint8 with C 1 (grey) or 3 (red, green, blue).

The images of a batch are a list, or one array (B, H, W, C) where all have one size.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, take

cv2.setNumThreads(0)  # examples are prepared in parallel: threads within an image would only fight over the cores
# A broken image is an error with a name; OpenCV's own lines would have none.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Images = np.ndarray | list[np.ndarray]

# The pixels of the largest image that is decoded or made, unless a transform says otherwise: Pillow's own limit.
MAX_PIXELS = 89_478_485


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTransform(Transform):
  """Base of transforms of images.

  Attributes:
    name: the feature with the images, (H, W, 1) or (H, W, 3) uint8 each.
  """

  name: str = "inputs"

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    images = take(features, self.name, self)
    for image in images[:1] if isinstance(images, np.ndarray) else images:
      if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(f"{type(self).__name__}: {self.name!r} is {image.dtype} {image.shape}, no image of (H, W, 1) or "
                         "(H, W, 3) uint8")
    return {**features, self.name: self.change(images, random)}

  def change(self, images: Images, random: Randomness | None) -> Images:
    """Returns new images; the given ones are left as they are."""
    raise TypeError(f"{type(self).__name__} defines no change")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation(ImageTransform):
  """Base of transforms that change images at random in training and leave them alone otherwise."""

  def change(self, images: Images, random: Randomness | None) -> Images:
    return images if random is None else self.augment(images, random)

  def augment(self, images: Images, random: Randomness) -> Images:
    raise TypeError(f"{type(self).__name__} defines no augment")


def each(images: Images, change: Callable[[int, np.ndarray], np.ndarray]) -> Images:
  """change(b, image) of every image: an array (B, ...) where the results have one shape, a list otherwise."""
  changed = [change(b, image) for b, image in enumerate(images)]
  return np.stack(changed) if len({image.shape for image in changed}) == 1 else changed


def with_channels(image: np.ndarray) -> np.ndarray:
  """(H, W) as (H, W, 1): OpenCV and Pillow drop the only channel of a grey image."""
  return image if image.ndim == 3 else image[..., None]


def spread(random_B: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
  """Numbers uniform in [0, 1) as numbers uniform between the limits."""
  return limits[0] + (limits[1] - limits[0]) * random_B


def check_limits(owner: object, field: str, least: float = 0.0, largest: float = float("inf")) -> None:
  """Raises ValueError unless the field is (low, high) with least <= low <= high <= largest."""
  low, high = getattr(owner, field)
  if not least <= low <= high <= largest:
    bounds = f"from {least:g}" if largest == float("inf") else f"from {least:g} to {largest:g}"
    raise ValueError(f"{type(owner).__name__}: {field}=({low}, {high}) must be a smaller and a larger number {bounds}")
