"""Augmentations that move pixels: mirroring, rotation, shift, shear, zoom."""

import dataclasses
import math
from typing import Literal

import cv2
import numpy as np

from research.preprocessing.images import Augmentation, Images, check_limits, each, spread, with_channels
from research.preprocessing.randomness import Randomness

_BORDERS = {"nearest": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT,
            "wrap": cv2.BORDER_WRAP}
_INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flip(Augmentation):
  """In training mirrors half of the images in each direction that is on; otherwise nothing.

  Attributes:
    horizontal: left to right.
    vertical: top to bottom.
    alternating: which images are mirrored is drawn once for the run, and each is so in every other epoch (Jordan 2024,
      section 3.6): two epochs show both sides of all.
  """

  horizontal: bool = True
  vertical: bool = False
  alternating: bool = False

  def augment(self, images: Images, random: Randomness) -> Images:
    if self.alternating:
      assert random.lasting is not None and random.epochs_B is not None, "only in a run, which has epochs"
      drawn = (random.lasting.uniform(2) < 0.5) ^ (random.epochs_B % 2 == 1)[:, None]
    else:
      drawn = random.uniform(2) < 0.5
    mirrored = drawn & [self.horizontal, self.vertical]
    codes = {(True, False): 1, (False, True): 0, (True, True): -1}

    def flip(b: int, image: np.ndarray) -> np.ndarray:
      code = codes.get((bool(mirrored[b, 0]), bool(mirrored[b, 1])))
      return image if code is None else with_channels(cv2.flip(image, code))

    return each(images, flip)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAffine(Augmentation):
  """In training rotates, shifts, shears and zooms images at random, in one bilinear resampling; otherwise nothing.

  The set of Keras' ImageDataGenerator, with its matrices: about the centre, an output pixel (x, y) shows the input at
  rotation · shift · shear · zoom (x, y). Equal to SciPy's `ndimage.affine_transform` of order 1 with the modes nearest,
  grid-constant, reflect and grid-wrap, which interpolate over the border where Keras' constant and wrap cut it off.

  Attributes:
    rotation: largest angle to either side, in degrees.
    height_shift: largest shift up or down, as a share of the height.
    width_shift: largest shift to the left or right, as a share of the width.
    shear: largest angle of shear to either side, in degrees.
    zoom: least and largest factor, drawn for height and width apart; below 1 enlarges.
    fill: what is seen beyond the border: nearest repeats its pixels, reflect mirrors the image with them, wrap repeats the
      image, constant is one grey level.
    fill_value: the grey level of constant, 0 to 255.
  """

  rotation: float = 0.0
  height_shift: float = 0.0
  width_shift: float = 0.0
  shear: float = 0.0
  zoom: tuple[float, float] = (1.0, 1.0)
  fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"
  fill_value: int = 0

  def __post_init__(self):
    for field in ("rotation", "height_shift", "width_shift", "shear"):
      if getattr(self, field) < 0:
        raise ValueError(f"RandomAffine: {field}={getattr(self, field)} must be 0 or more")
    if self.shear >= 90:
      raise ValueError(f"RandomAffine: shear={self.shear} must be below 90 degrees")
    check_limits(self, "zoom")
    if not self.zoom[0] or not 0 <= self.fill_value <= 255:
      raise ValueError(f"RandomAffine: zoom={self.zoom} must be above 0, fill_value={self.fill_value} from 0 to 255")

  def augment(self, images: Images, random: Randomness) -> Images:
    angle, down, right, shear, zoom_x, zoom_y = random.uniform(6).T
    angle, shear = (np.radians(spread(u, (-limit, limit))) for u, limit in ((angle, self.rotation), (shear, self.shear)))
    down, right = spread(down, (-self.height_shift, self.height_shift)), spread(right, (-self.width_shift, self.width_shift))
    zoom_x, zoom_y = spread(zoom_x, self.zoom), spread(zoom_y, self.zoom)

    def move(b: int, image: np.ndarray) -> np.ndarray:
      height, width = image.shape[:2]
      matrix = affine_matrix(angle=angle[b], shift=(right[b] * width, down[b] * height), shear=shear[b],
                             zoom=(zoom_x[b], zoom_y[b]))
      return warp(image, about_centre(matrix, height, width), fill=self.fill, fill_value=self.fill_value)

    return each(images, move)


def affine_matrix(*, angle: float, shift: tuple[float, float], shear: float, zoom: tuple[float, float]) -> np.ndarray:
  """rotation · shift · shear · zoom, (3, 3), for columns (x, y, 1); angles in radians, the shift in pixels."""
  sin, cos = math.sin(angle), math.cos(angle)
  return (np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
          @ np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
          @ np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
          @ np.diag([zoom[0], zoom[1], 1]))


def about_centre(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
  """The same movement with the centre of an image as its fixed point, in coordinates of pixels' indices."""
  centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
  return centre @ matrix @ np.linalg.inv(centre)


def warp(image: np.ndarray, matrix: np.ndarray, *, interpolation: Literal["bilinear", "nearest"] = "bilinear",
         fill: Literal["nearest", "constant", "reflect", "wrap"], fill_value: int = 0) -> np.ndarray:
  """The image (H, W, C) whose pixel (x, y) shows what is at matrix · (x, y, 1) of the given one.

  Args:
    image: uint8.
    matrix: (3, 3), in coordinates of pixels' indices.
    interpolation: between pixels.
    fill: what lies beyond the border; see RandomAffine.
    fill_value: the grey level of constant.
  """
  size = image.shape[1], image.shape[0]
  return with_channels(cv2.warpAffine(
      image, matrix[:2], size, flags=_INTERPOLATIONS[interpolation] | cv2.WARP_INVERSE_MAP, borderMode=_BORDERS[fill],
      borderValue=(fill_value,) * 4))
