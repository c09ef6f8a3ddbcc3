"""Decoding of images."""

import dataclasses
import io
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from research.preprocessing.image_headers import Header, read_header
from research.preprocessing.images import MAX_PIXELS, with_channels
from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, take

# Formats of pixels only: others that Pillow knows start programs, or draw what is no image.
_FORMATS = ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")
_BACKGROUNDS = {"white": 255, "black": 0}
# These flags of OpenCV are bits; what they are called stands for one of their uses.
_REDUCED = {1: 0, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeImage(Transform):
  """Decodes images to (H, W, 3) or (H, W, 1) uint8: JPEG and PNG with OpenCV, the rest with Pillow.

  Both use libjpeg-turbo and libpng and give equal pixels. Grey becomes three equal channels; colour becomes grey by its
  luma (ITU-R 601); CMYK goes the simple way of Pillow, without a colour profile, as profiles are ignored everywhere; 16 bits
  are rounded to the nearest of 8; of an animation the first frame counts. An image that is cut off, empty, no image, too
  large or of numbers without a known range (32-bit grey) raises an error, never a part of it; a file cut off after its last
  pixel is whole. Changed bytes inside a JPEG that leave its form intact are seen by no decoder.

  Attributes:
    source: the feature that holds the encoded bytes; it is removed.
    name: the feature that receives the images.
    colour: rgb has three channels, grey one.
    alpha: what transparency becomes: drop leaves it out, as torchvision and TensorFlow do, white and black lay the
      image over that background.
    exif_orientation: whether an image is turned as its EXIF entry asks. The field's training pipelines (torchvision,
      TensorFlow) do not; photographs straight from a camera need it. Pillow always turns a TIFF.
    max_pixels: images of more pixels are refused by their header, before they are decoded; at most Pillow's own limit.
    shrink_to: decodes a JPEG at a half, a quarter or an eighth of its size while its shorter side stays at least so long:
      several times faster for large photographs, but other pixels than decoding and resizing give. None never does.
  """

  source: str = "record"
  name: str = "inputs"
  colour: Literal["rgb", "grey"] = "rgb"
  alpha: Literal["drop", "white", "black"] = "drop"
  exif_orientation: bool = False
  max_pixels: int = MAX_PIXELS
  shrink_to: int | None = None

  def __post_init__(self):
    if not 1 <= self.max_pixels <= MAX_PIXELS:
      raise ValueError(f"DecodeImage: max_pixels={self.max_pixels} must be from 1 to {MAX_PIXELS}")
    if self.shrink_to is not None and self.shrink_to < 1:
      raise ValueError(f"DecodeImage: shrink_to={self.shrink_to} must be 1 or more (or None)")

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    images = [self.decode(record) for record in take(features, self.source, self)]
    return {**{k: v for k, v in features.items() if k != self.source}, self.name: images}

  def decode(self, record: bytes) -> np.ndarray:
    """One image. Raises ValueError or OSError for what is none, is damaged or is too large."""
    if not record:
      raise ValueError("no image but an empty file")
    header = read_header(record)
    if header:
      self._check_size(header.height, header.width)
    pixels = self._with_opencv(record, header) if header and self._is_plain(header) else None
    if pixels is None:  # OpenCV does not say what it dislikes; Pillow does, and reads what lacks only its end mark
      pixels = self._with_pillow(record)
    return self._convert(pixels)

  def _check_size(self, height: int, width: int) -> None:
    if height * width > self.max_pixels:
      raise ValueError(f"an image of {width} x {height} pixels, more than max_pixels={self.max_pixels}")

  def _is_plain(self, header: Header) -> bool:
    """Whether OpenCV reads it as it is meant."""
    layouts = ("grey", "rgb", "grey_alpha", "rgb_alpha") if self.alpha == "drop" else ("grey", "rgb")
    return header.bits in (8, 16) and not header.animated and header.layout in layouts

  def _with_opencv(self, record: bytes, header: Header) -> np.ndarray | None:
    flags = cv2.IMREAD_COLOR_RGB | _REDUCED[self._reduction(header)]
    if header.bits == 16:
      flags |= cv2.IMREAD_ANYDEPTH
    if not self.exif_orientation:
      flags |= cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(record, np.uint8), flags)
    return _eight_bits(pixels) if header.bits == 16 and pixels is not None else pixels

  def _reduction(self, header: Header) -> int:
    if header.kind != "jpeg" or self.shrink_to is None:
      return 1
    return max(factor for factor in _REDUCED if factor == 1 or min(header.height, header.width) // factor >= self.shrink_to)

  def _with_pillow(self, record: bytes) -> np.ndarray:
    try:
      image = Image.open(io.BytesIO(record), formats=_FORMATS)
    except UnidentifiedImageError:  # whose text names an object in memory
      raise ValueError(f"no image of a known format: it begins with {record[:12]!r}") from None
    except Image.DecompressionBombError as error:
      raise ValueError(str(error)) from None
    with image:
      self._check_size(image.height, image.width)
      if image.mode.startswith("I;16"):
        return _eight_bits(with_channels(np.asarray(image)))
      if image.mode in ("I", "F"):
        raise ValueError(f"an image of 32-bit grey levels (Pillow's mode {image.mode}), whose range is not known")
      image.load()
      if self.exif_orientation:
        ImageOps.exif_transpose(image, in_place=True)
      transparent = image.has_transparency_data and self.alpha != "drop"
      return np.asarray(image.convert("RGBA" if transparent else "RGB"))

  def _convert(self, pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[-1] == 4:
      opacity = pixels[..., 3:].astype(np.float32) / 255
      pixels = np.rint(pixels[..., :3] * opacity + _BACKGROUNDS[self.alpha] * (1 - opacity)).astype(np.uint8)
    if self.colour == "rgb":
      return pixels if pixels.shape[-1] == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return pixels if pixels.shape[-1] == 1 else with_channels(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
  return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
