"""Crops of images, for training and for evaluation."""

import dataclasses
import math
from typing import Literal

import numpy as np

from research.preprocessing.images import Augmentation, Images, ImageTransform, check_limits, each
from research.preprocessing.randomness import Randomness
from research.preprocessing.resizing import Resampling, shorter_to
from research.preprocessing.transform import stacked

_TRIES = 10


def _centre(image: np.ndarray, size: int) -> tuple[int, int]:
  """Top and left of the central crop; an odd margin is halved as torchvision does, rounding halves to even numbers."""
  height, width = image.shape[:2]
  if min(height, width) < size:
    raise ValueError(f"an image of {width} x {height} pixels is smaller than a crop of {size}")
  return round((height - size) / 2), round((width - size) / 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SquareCrop(ImageTransform):
  """Base of crops of one size.

  Attributes:
    size: height and width of the crop, in pixels; a smaller image is an error.
  """

  size: int

  def __post_init__(self):
    if self.size < 1:
      raise ValueError(f"{type(self).__name__}: size={self.size} must be at least 1")

  def _cut(self, image: np.ndarray, top: int, left: int) -> np.ndarray:
    return image[top:top + self.size, left:left + self.size]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CentreCrop(_SquareCrop):
  """Cuts out the centre. After ResizeShorter(size=256) with size 224 the usual evaluation protocol of ImageNet."""

  def change(self, images: Images, random: Randomness | None) -> Images:
    return each(images, lambda _, image: self._cut(image, *_centre(image, self.size)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCrop(_SquareCrop):
  """Cuts out a random part in training, the centre otherwise."""

  def change(self, images: Images, random: Randomness | None) -> Images:
    if random is None:
      return each(images, lambda _, image: self._cut(image, *_centre(image, self.size)))
    uniform = random.uniform(2)

    def cut(b: int, image: np.ndarray) -> np.ndarray:
      _centre(image, self.size)  # refuses small images
      top, left = (int(u * (length - self.size + 1)) for u, length in zip(uniform[b], image.shape))
      return self._cut(image, top, left)

    return each(images, cut)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Resampling):
  """Cuts out a random part and resizes it (Szegedy et al. 2015, CVPR), as torchvision draws it. For training only: which
  crop an evaluation sees is a protocol of its own, so give both their transforms with PerPhase.

  The share of the area and the logarithm of the aspect are uniform; where ten draws do not fit into the image, the
  largest central part of an allowed aspect is taken.

  Attributes:
    size: height and width of the result, in pixels.
    area: least and largest share of the image that is cut out.
    aspect: least and largest ratio of its width to its height.
  """

  size: int
  area: tuple[float, float] = (0.08, 1.0)
  aspect: tuple[float, float] = (3 / 4, 4 / 3)

  def __post_init__(self):
    super().__post_init__()
    if self.size < 1:
      raise ValueError(f"RandomResizedCrop: size={self.size} must be at least 1")
    check_limits(self, "area", 0, 1)
    check_limits(self, "aspect")
    if not self.area[1] or not self.aspect[0]:
      raise ValueError(f"RandomResizedCrop: area={self.area}, aspect={self.aspect} must be above 0")

  def change(self, images: Images, random: Randomness | None) -> Images:
    if random is None:
      raise ValueError("RandomResizedCrop is for training only: put it into PerPhase(training=..., evaluation=...)")
    top, left, height, width = self.boxes(np.array([image.shape[:2] for image in images]), random).T.tolist()
    out = np.empty((len(images), self.size, self.size, images[0].shape[-1]), np.uint8)
    for b, image in enumerate(images):
      out[b] = self.resample(image[top[b]:top[b] + height[b], left[b]:left[b] + width[b]], (self.size, self.size))
    return out

  def boxes(self, shapes_B2: np.ndarray, random: Randomness) -> np.ndarray:
    """Top, left, height and width (B, 4) of the parts of images of these heights and widths."""
    uniform = random.uniform(2 * _TRIES + 2)
    full_B1 = shapes_B2.prod(1, keepdims=True)
    area = full_B1 * (self.area[0] + (self.area[1] - self.area[0]) * uniform[:, :_TRIES])
    low, high = (math.log(ratio) for ratio in self.aspect)
    aspect = np.exp(low + (high - low) * uniform[:, _TRIES:2 * _TRIES])
    tried = np.stack([np.rint(np.sqrt(area / aspect)), np.rint(np.sqrt(area * aspect))], -1).astype(int)
    fits = ((tried > 0) & (tried <= shapes_B2[:, None])).all(-1)
    first = np.argmax(fits, axis=1)
    sides = np.take_along_axis(tried, first[:, None, None], 1)[:, 0]
    corners = (uniform[:, 2 * _TRIES:] * (shapes_B2 - sides + 1)).astype(int)
    for b in np.flatnonzero(~np.any(fits, axis=1)):
      height, width = shapes_B2[b]
      sides[b] = (min(height, max(1, round(width / self.aspect[0]))) if width < self.aspect[0] * height else height,
                  min(width, max(1, round(height * self.aspect[1]))) if width > self.aspect[1] * height else width)
      corners[b] = (shapes_B2[b] - sides[b]) // 2
    return np.concatenate([corners, sides], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiCrop(Resampling):
  """Several views of each image, (V, size, size, C), for evaluations that average over them. Not for training.

  At every scale the image is resized like ResizeShorter, then cropped: the centre; or the corners (top left, top right,
  bottom left, bottom right) and the centre; or those five and the same mirrored (Krizhevsky et al. 2012, NeurIPS).

  Attributes:
    size: height and width of a view, in pixels.
    scales: lengths of the shorter side; several are a multi-scale evaluation.
    crops: which crops are taken at each scale.
  """

  size: int
  scales: tuple[int, ...] = (256,)
  crops: Literal["centre", "five", "ten"] = "ten"

  def __post_init__(self):
    super().__post_init__()
    if not self.scales or not 1 <= self.size <= min(self.scales):
      raise ValueError(f"MultiCrop: size={self.size} must be from 1 to the least of scales={self.scales}")

  def change(self, images: Images, random: Randomness | None) -> Images:
    if random is not None:
      raise ValueError("MultiCrop is for evaluation only: put it into PerPhase(training=..., evaluation=...)")
    return np.stack([self._views(image) for image in images])

  def _views(self, image: np.ndarray) -> np.ndarray:
    views = []
    for scale in self.scales:
      resized = self.resample(image, shorter_to(image.shape, scale))
      bottom, right = resized.shape[0] - self.size, resized.shape[1] - self.size
      corners = [] if self.crops == "centre" else [(0, 0), (0, right), (bottom, 0), (bottom, right)]
      crops = [resized[top:top + self.size, left:left + self.size] for top, left in [*corners, _centre(resized, self.size)]]
      views += [*crops, *(crop[:, ::-1] for crop in crops)] if self.crops == "ten" else crops
    return np.stack(views)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PadCrop(Augmentation):
  """In training pads images, all of one size, and cuts a random part of the old size; otherwise nothing.

  Attributes:
    padding: pixels added on each side.
    fill: constant is one grey level, reflect mirrors the image without repeating its border pixels.
    fill_value: the grey level of constant, 0 to 255.
  """

  padding: int = 4
  fill: Literal["constant", "reflect"] = "constant"
  fill_value: int = 0

  def __post_init__(self):
    if self.padding < 0 or not 0 <= self.fill_value <= 255:
      raise ValueError(f"PadCrop: padding={self.padding} must be 0 or more, fill_value={self.fill_value} from 0 to 255")

  def augment(self, images: Images, random: Randomness) -> Images:
    images_BHWC, pad = stacked(images, self.name), self.padding
    height, width = images_BHWC.shape[1:3]
    around = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    if self.fill == "constant":
      padded = np.pad(images_BHWC, around, constant_values=self.fill_value)
    else:
      padded = np.pad(images_BHWC, around, mode="reflect")
    out = np.empty_like(images_BHWC)
    for b, (top, left) in enumerate(random.integers(2, 2 * pad + 1).tolist()):
      out[b] = padded[b, top:top + height, left:left + width]
    return out
