"""RandAugment (Cubuk et al. 2020, CVPR Workshops). H, W: pixels, C: channels."""

import dataclasses
import math
from collections.abc import Callable

import cv2
import numpy as np

from research.preprocessing import colour
from research.preprocessing.geometry import about_centre, affine_matrix, warp
from research.preprocessing.images import Augmentation, Images, each, with_channels
from research.preprocessing.randomness import Randomness

_LEVELS = np.arange(256)
_GREY = 128  # what fills empty parts
_NUMBERS = 4  # random numbers a layer takes: which operation, its direction, where a part is cut out


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandAugment(Augmentation):
  """In training applies some operations, drawn anew for each image, all of one strength; otherwise nothing.

  The 16 operations and their strengths are those of the TPU reference code for EfficientNet that big_vision uses
  (github.com/google-research/big_vision, pp/autoaugment.py), which other implementations differ from: lengths are for images of
  224 pixels, posterizing keeps more bits the stronger it is. The operations themselves are Pillow's, which that code
  means to be; its contrast is not, as it takes the number of pixels / 256 for the mean grey level.

  Attributes:
    num_layers: how many operations, one after another.
    magnitude: their strength; 10 is the largest of AutoAugment, and more is possible.
  """

  num_layers: int = 2
  magnitude: float = 10.0

  def __post_init__(self):
    if self.num_layers < 1 or self.magnitude < 0:
      raise ValueError(f"RandAugment: num_layers={self.num_layers} must be 1 or more, magnitude={self.magnitude} 0 or more")

  def augment(self, images: Images, random: Randomness) -> Images:
    uniform = random.uniform(_NUMBERS * self.num_layers).reshape(len(images), self.num_layers, _NUMBERS)
    def distort(b: int, image: np.ndarray) -> np.ndarray:
      for which, direction, row, column in uniform[b]:
        name, sign = NAMES[int(which * len(NAMES))], 1 if direction < 0.5 else -1
        image = apply_operation(name, image, self.magnitude / 10, sign=sign, place=(row, column))
      return image

    return each(images, distort)


def apply_operation(name: str, image: np.ndarray, level: float, *, sign: int = 1,
                    place: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
  """One operation on (H, W, C) uint8.

  Args:
    name: one of NAMES.
    image: what is changed.
    level: strength; 1 is magnitude 10.
    sign: 1 or -1, the direction of what has one.
    place: where a part is cut out, as shares of height and width.
  """
  if name == "cutout":
    return cutout(image, level, place)
  return _OPERATIONS[name](image, sign * level if name in _SIGNED else level)


def autocontrast(image: np.ndarray, level: float) -> np.ndarray:
  """Stretches each channel to 0..255."""
  low, high = image.min(0).min(0).astype(float), image.max(0).max(0).astype(float)  # 20 x faster than over both at once
  scale = 255 / np.where(high > low, high - low, 1)
  stretched = np.clip((_LEVELS[:, None] * scale - low * scale).astype(int), 0, 255)
  return colour.look_up(image, np.where(high > low, stretched, _LEVELS[:, None]))


def equalize(image: np.ndarray, level: float) -> np.ndarray:
  """Makes each channel's values about equally frequent."""
  table = np.empty((256, image.shape[-1]))
  for c in range(image.shape[-1]):
    counts = np.bincount(image[..., c].ravel(), minlength=256)
    step = int(counts.sum() - counts[counts > 0][-1]) // 255
    below = np.cumsum(counts) - counts
    table[:, c] = np.minimum((below + step // 2) // step, 255) if step else _LEVELS
  return colour.look_up(image, table)


def posterize(image: np.ndarray, level: float) -> np.ndarray:
  """Keeps the upper int(4 level) bits."""
  bits = min(int(level * 4), 8)
  return image & np.uint8(256 - 2 ** (8 - bits))


def solarize(image: np.ndarray, level: float) -> np.ndarray:
  """Inverts values from int(256 level) on."""
  return colour.look_up(image, np.where(int(level * 256) > _LEVELS, _LEVELS, 255 - _LEVELS))


def solarize_add(image: np.ndarray, level: float) -> np.ndarray:
  """Adds int(110 level) to values below 128."""
  return colour.look_up(image, np.where(_LEVELS < 128, np.minimum(_LEVELS + int(level * 110), 255), _LEVELS))


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
  """Moves values away from the smoothed image (above 1) or towards it; the outermost pixels stay."""
  smooth = image.astype(np.float32)
  if min(image.shape[:2]) > 2:
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    inside = with_channels(cv2.filter2D(image, cv2.CV_32F, kernel))
    smooth[1:-1, 1:-1] = np.floor(inside[1:-1, 1:-1] + 0.5)
  return colour.blend(smooth, image, factor)


def rotate(image: np.ndarray, level: float) -> np.ndarray:
  """Turns by 30 level degrees."""
  matrix = affine_matrix(angle=math.radians(30 * level), shift=(0, 0), shear=0, zoom=(1, 1))
  return _move(image, about_centre(matrix, *image.shape[:2]))


def shear_x(image: np.ndarray, level: float) -> np.ndarray:
  """Shifts rows by 0.3 level of their distance from the top."""
  return _move(image, _from_corner([[1, 0.3 * level, 0], [0, 1, 0], [0, 0, 1]]))


def shear_y(image: np.ndarray, level: float) -> np.ndarray:
  """Shifts columns by 0.3 level of their distance from the left."""
  return _move(image, _from_corner([[1, 0, 0], [0.3 * level, 1, 0], [0, 0, 1]]))


def translate_x(image: np.ndarray, level: float) -> np.ndarray:
  """Shifts by 100 level pixels to the left."""
  return _move(image, np.array([[1, 0, 100 * level], [0, 1, 0], [0, 0, 1]]))


def translate_y(image: np.ndarray, level: float) -> np.ndarray:
  """Shifts by 100 level pixels upwards."""
  return _move(image, np.array([[1, 0, 0], [0, 1, 100 * level], [0, 0, 1]]))


def cutout(image: np.ndarray, level: float, place: tuple[float, float]) -> np.ndarray:
  """Covers a square around a place, 2 int(40 level) pixels wide, with grey (DeVries and Taylor 2017)."""
  half = int(level * 40)
  row, column = (int(share * length) for share, length in zip(place, image.shape))
  out = image.copy()
  out[max(row - half, 0):row + half, max(column - half, 0):column + half] = _GREY
  return out


def _move(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  return warp(image, matrix, interpolation="nearest", fill="constant", fill_value=_GREY)


def _from_corner(matrix: list) -> np.ndarray:
  """A movement about the outer corner of the first pixel, in coordinates of pixels' indices."""
  corner = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
  return corner @ np.array(matrix) @ np.linalg.inv(corner)


def _enhanced(change):
  """A change by a factor as an operation: the factor of strength `level` is 0.1 to 1.9 for 0 to 1."""
  return lambda image, level: change(image, level * 1.8 + 0.1)


_OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "autocontrast": autocontrast, "equalize": equalize, "invert": lambda image, level: 255 - image, "rotate": rotate,
    "posterize": posterize, "solarize": solarize, "solarize_add": solarize_add, "color": _enhanced(colour.saturation),
    "contrast": _enhanced(colour.contrast), "brightness": _enhanced(colour.brightness), "sharpness": _enhanced(sharpness),
    "shear_x": shear_x, "shear_y": shear_y, "translate_x": translate_x, "translate_y": translate_y}
_SIGNED = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
NAMES = (*_OPERATIONS, "cutout")
