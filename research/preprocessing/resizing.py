"""Resizing as one named library does it: which kernel shrinks an image decides whole points of accuracy."""

import dataclasses
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from research.preprocessing import tensorflow_resize
from research.preprocessing.images import MAX_PIXELS, Images, ImageTransform, each, spread, with_channels
from research.preprocessing.randomness import Randomness

_PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "area": Image.Resampling.BOX,
           "nearest": Image.Resampling.NEAREST}
_OPENCV = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}
# What each library can do: it always antialiases, never, or as asked.
_ANTIALIASES = {"pillow": (True,), "opencv": (False,), "tensorflow": (False, True)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resampling(ImageTransform):
  """Base of transforms that resize images.

  Attributes:
    library: whose result it is. pillow is also what torchvision gives for Pillow images and, within a grey level, for
      tensors with antialias on; tensorflow is `tf.image.resize` and what Keras' layers resize with, rounded to whole grey
      levels.
    interpolation: area averages what an output pixel covers; Pillow calls it box.
    antialias: whether the kernel grows with the factor by which an image shrinks. None is the library's default: pillow
      always does, opencv never, tensorflow does not but can for bilinear and bicubic.
  """

  library: Literal["pillow", "opencv", "tensorflow"]
  interpolation: Literal["bilinear", "bicubic", "area", "nearest"] = "bilinear"
  antialias: bool | None = None

  def __post_init__(self):
    if self.antialias is None:
      return
    smooth = self.interpolation in ("bilinear", "bicubic")
    if not smooth or self.antialias not in _ANTIALIASES[self.library]:
      raise ValueError(f"{type(self).__name__}: library={self.library} cannot do interpolation={self.interpolation} with "
                       f"antialias={self.antialias}; leave antialias at None")

  def resample(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) uint8 to (*size, C) uint8; C is 1 or 3. Raises ValueError where the result would be huge."""
    height, width = size
    if height * width > MAX_PIXELS:
      raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} pixels would become one of {width} x {height}")
    if image.shape[:2] == size:
      return image
    if self.library == "opencv":
      return with_channels(cv2.resize(image, (width, height), interpolation=_OPENCV[self.interpolation]))
    if self.library == "pillow":
      grey = image.shape[-1] == 1
      picture = Image.fromarray(np.ascontiguousarray(image[..., 0] if grey else image))
      return with_channels(np.asarray(picture.resize((width, height), _PILLOW[self.interpolation])))
    resized = tensorflow_resize.resize(image, size, self.interpolation, bool(self.antialias))
    return resized if resized.dtype == np.uint8 else np.clip(np.rint(resized), 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resize(Resampling):
  """Resizes images to one size, whatever their aspect.

  Attributes:
    size: height and width, in pixels.
  """

  size: tuple[int, int]

  def __post_init__(self):
    super().__post_init__()
    if min(self.size) < 1:
      raise ValueError(f"Resize: size={self.size} must be two numbers of at least 1")

  def change(self, images: Images, random: Randomness | None) -> Images:
    return each(images, lambda _, image: self.resample(image, self.size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResizeShorter(Resampling):
  """Resizes images so that the shorter side has a given length; the longer one keeps the aspect, rounded down as
  torchvision and Keras do.

  Attributes:
    size: length of the shorter side, in pixels.
    largest: in training the length is drawn from size to this one, for each image (scale jittering: Simonyan and Zisserman
      2015, ICLR); None always takes size.
  """

  size: int
  largest: int | None = None

  def __post_init__(self):
    super().__post_init__()
    if self.size < 1 or (self.largest is not None and self.largest < self.size):
      raise ValueError(f"ResizeShorter: size={self.size}, largest={self.largest}: 1 <= size <= largest (or None)")

  def change(self, images: Images, random: Randomness | None) -> Images:
    sides = np.full(len(images), self.size)
    if random is not None and self.largest is not None:
      sides = spread(random.uniform(1)[:, 0], (self.size, self.largest + 1)).astype(int)
    return each(images, lambda b, image: self.resample(image, shorter_to(image.shape, int(sides[b]))))


def shorter_to(shape: tuple[int, ...], side: int) -> tuple[int, int]:
  """Height and width of an image of `shape` once its shorter side is `side`."""
  height, width = shape[:2]
  if height <= width:
    return side, side * width // height
  return side * height // width, side
