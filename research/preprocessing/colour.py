"""Augmentations that change grey levels and colours. The functions give Pillow's results. H, W: pixels, C: channels."""

import dataclasses

import cv2
import numpy as np
from PIL import Image

from research.preprocessing.images import Augmentation, Images, check_limits, each, spread, with_channels
from research.preprocessing.randomness import Randomness

_LEVELS = np.arange(256)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Brightness(Augmentation):
  """In training multiplies grey levels by one random factor an image, as Keras' ImageDataGenerator; otherwise nothing.

  Attributes:
    factor: least and largest factor.
  """

  factor: tuple[float, float]

  def __post_init__(self):
    check_limits(self, "factor")

  def augment(self, images: Images, random: Randomness) -> Images:
    factor_B = spread(random.uniform(1)[:, 0], self.factor)
    return each(images, lambda b, image: brightness(image, factor_B[b]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelShift(Augmentation):
  """In training adds one random number to all channels of an image and keeps the result between its darkest and its
  brightest value, as Keras' ImageDataGenerator; otherwise nothing.

  Attributes:
    limit: largest number added or taken away, in grey levels.
  """

  limit: float

  def __post_init__(self):
    if not 0 <= self.limit <= 255:
      raise ValueError(f"ChannelShift: limit={self.limit} must be from 0 to 255")

  def augment(self, images: Images, random: Randomness) -> Images:
    added_B = np.rint(spread(random.uniform(1)[:, 0], (-self.limit, self.limit))).astype(int)
    return each(images, lambda b, image: look_up(image, np.clip(_LEVELS + added_B[b], image.min(), image.max())))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourJitter(Augmentation):
  """In training changes brightness, contrast, saturation and hue at random and in random order, as torchvision's
  ColorJitter of Pillow images; otherwise nothing.

  Attributes:
    brightness: the factor is drawn from 1 - brightness (0 at least) to 1 + brightness.
    contrast: likewise, of the distance to the mean grey level.
    saturation: likewise, of the distance to the grey image.
    hue: largest turn of the colour circle to either side, 0.5 being half of it.
  """

  brightness: float = 0.0
  contrast: float = 0.0
  saturation: float = 0.0
  hue: float = 0.0

  def __post_init__(self):
    for field in ("brightness", "contrast", "saturation"):
      if getattr(self, field) < 0:
        raise ValueError(f"ColourJitter: {field}={getattr(self, field)} must be 0 or more")
    if not 0 <= self.hue <= 0.5:
      raise ValueError(f"ColourJitter: hue={self.hue} must be from 0 to 0.5")

  def augment(self, images: Images, random: Randomness) -> Images:
    changes = (brightness, contrast, saturation, hue)
    limits = [*((max(0.0, 1 - size), 1 + size) for size in (self.brightness, self.contrast, self.saturation)),
              (-self.hue, self.hue)]
    uniform = random.uniform(8)
    order = uniform[:, :4].argsort(1)

    def jitter(b: int, image: np.ndarray) -> np.ndarray:
      for n in order[b]:
        if limits[n][0] != limits[n][1]:
          image = changes[n](image, spread(uniform[b, 4 + n], limits[n]))
      return image

    return each(images, jitter)


# --- single changes --------------------------------------------------------------------------------------------------


def look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
  """Replaces every value by table[value] (256,), or by table[value, channel] (256, C)."""
  return with_channels(cv2.LUT(image, table.astype(np.uint8).reshape(1, 256, -1)))


def blend(start: np.ndarray | float, image: np.ndarray, factor: float) -> np.ndarray:
  """start + factor (image - start), from 0 to 255, rounded down as Pillow does. uint8; factor 0 gives `start`, 1 `image`."""
  blended = start + np.float32(factor) * (image.astype(np.float32) - start)
  return np.clip(blended, 0, 255).astype(np.uint8)


def luma(image: np.ndarray) -> np.ndarray:
  """The grey image (H, W, 1) uint8 of a coloured one (ITU-R 601), rounded as Pillow does; a grey one as it is."""
  if image.shape[-1] == 1:
    return image
  return with_channels(np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L")))


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
  """Moves values away from black (above 1) or towards it."""
  return look_up(image, blend(0.0, _LEVELS, factor))


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
  """Moves values away from the image's mean grey level (above 1) or towards it."""
  mean = float(int(luma(image).mean() + 0.5))
  return look_up(image, blend(mean, _LEVELS, factor))


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
  """Moves colours away from grey (above 1) or towards it."""
  return image if image.shape[-1] == 1 else blend(luma(image).astype(np.float32), image, factor)


def hue(image: np.ndarray, turn: float) -> np.ndarray:
  """Turns the colour circle; 1 is once around. In 8 bits, as torchvision turns Pillow images."""
  if image.shape[-1] == 1:
    return image
  hsv = np.array(Image.fromarray(np.ascontiguousarray(image)).convert("HSV"))
  hsv[..., 0] += np.uint8(int(turn * 255) % 256)
  return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
