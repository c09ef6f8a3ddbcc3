"""Transforms of images: decoding, cropping, flipping. B: examples, H, W: pixels, C: channels."""

import dataclasses
import io
import math
from typing import Literal

import numpy as np
from PIL import Image

from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, stacked, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeImage(Transform):
  """Decodes JPEG, PNG and what else Pillow reads, to (H, W, 3) or (H, W, 1) uint8.

  Attributes:
    source: the feature that holds the encoded bytes; it is removed.
    name: the feature that receives the images.
    colour: rgb has three channels, grey one.
  """

  source: str = "record"
  name: str = "inputs"
  colour: Literal["rgb", "grey"] = "rgb"

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    mode = {"rgb": "RGB", "grey": "L"}[self.colour]
    images = []
    for record in take(features, self.source, self):
      with Image.open(io.BytesIO(record)) as image:
        pixels = np.asarray(image.convert(mode))
      images.append(pixels.reshape(*pixels.shape[:2], -1))
    return {**{k: v for k, v in features.items() if k != self.source}, self.name: images}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResizeCrop(Transform):
  """Brings images of any size to one size.

  Evaluation: the shorter side to `resize`, then the centre. Training: a random part of `area` of the image with an
  aspect ratio from 3/4 to 4/3 (Szegedy et al. 2015, CVPR), mirrored half of the time if `flip`.

  Attributes:
    name: the feature with the images, (H, W, C) uint8 each.
    size: height and width of the result, in pixels.
    resize: length of the shorter side before the centre crop, at least `size`.
    area: least and largest share of the image that a training crop covers.
    flip: whether training mirrors images left to right.
  """

  name: str = "inputs"
  size: int = 224
  resize: int = 256
  area: tuple[float, float] = (0.08, 1.0)
  flip: bool = True

  def __post_init__(self):
    if not 1 <= self.size <= self.resize:
      raise ValueError(f"ResizeCrop: size={self.size} must be from 1 to resize={self.resize}")
    if not 0 < self.area[0] <= self.area[1] <= 1:
      raise ValueError(f"ResizeCrop: area={self.area} must be two shares of the image, 0 < least <= largest <= 1")

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    images = take(features, self.name, self)
    if random is None:
      out = [self._centre(image) for image in images]
    else:
      out = [self._random(image, random.generator(b)) for b, image in enumerate(images)]
    return {**features, self.name: out}

  def _centre(self, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = self.resize / min(height, width)
    # The part of the original that the crop of the resized image shows, so that one resampling does both.
    side = self.size / scale
    return self._resample(image, ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2))

  def _random(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    crop_h = crop_w = min(height, width)  # what is taken if no random shape fits
    for _ in range(10):
      area = rng.uniform(*self.area) * height * width
      ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
      w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
      if 0 < w <= width and 0 < h <= height:
        crop_h, crop_w = h, w
        break
    top, left = rng.integers(height - crop_h + 1), rng.integers(width - crop_w + 1)
    out = self._resample(image, (left, top, left + crop_w, top + crop_h))
    return out[:, ::-1] if self.flip and rng.random() < 0.5 else out

  def _resample(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    grey = image.shape[-1] == 1
    picture = Image.fromarray(image[..., 0] if grey else image)
    pixels = np.asarray(picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box))
    return pixels[..., None] if grey else pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class PadCrop(Transform):
  """In training pads images with zeros on all sides and cuts a random part of the old size; otherwise nothing.

  Attributes:
    name: the feature with the images, (H, W, C), all of one size.
    padding: pixels added on each side.
  """

  name: str = "inputs"
  padding: int = 4

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    if random is None:
      return features
    images_BHWC = stacked(take(features, self.name, self), self.name)
    pad = self.padding
    height, width = images_BHWC.shape[1:3]
    padded = np.pad(images_BHWC, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    shift = random.integers(2, 2 * pad + 1)
    rows = shift[:, 0, None] + np.arange(height)
    columns = shift[:, 1, None] + np.arange(width)
    examples = np.arange(len(images_BHWC))[:, None, None]
    return {**features, self.name: padded[examples, rows[:, :, None], columns[:, None, :]]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flip(Transform):
  """In training mirrors half of the images left to right; otherwise nothing.

  Attributes:
    name: the feature with the images, (H, W, C), all of one size.
  """

  name: str = "inputs"

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    if random is None:
      return features
    images_BHWC = stacked(take(features, self.name, self), self.name)
    mirrored = random.uniform(1)[:, 0] < 0.5
    return {**features, self.name: np.where(mirrored[:, None, None, None], images_BHWC[:, :, ::-1], images_BHWC)}
