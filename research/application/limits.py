"""How large an input is, by its header alone: a file of kilobytes can decode to gigabytes."""

import dataclasses
import io
import struct
import warnings

import soundfile
from PIL import Image

from research.application.refusals import Refusal
from research.application.settings import Serve
from research.preprocessing.image_headers import read_header

# What a parser of Pillow raises on headers that strangers wrote.
_DAMAGED = (OSError, ValueError, SyntaxError, TypeError, LookupError, OverflowError, MemoryError, EOFError, ZeroDivisionError,
            struct.error, Image.DecompressionBombError, AttributeError, RuntimeError)


@dataclasses.dataclass(frozen=True)
class Limits:
  """The largest inputs.

  Attributes:
    bytes: of a file.
    pixels: of an image.
    seconds: of a recording.
    characters: of a text.
  """

  bytes: float
  pixels: float
  seconds: float
  characters: float

  @classmethod
  def of(cls, settings: Serve, bundle: dict) -> "Limits":
    """The smaller of the server's limit and the bundle's own (`spec["inputs"]["limits"]`), each."""
    ours = {"bytes": settings.request_bytes, "pixels": settings.pixels, "seconds": settings.audio_seconds,
            "characters": settings.characters}
    return cls(**{name: min(limit, bundle.get(name, limit)) for name, limit in ours.items()})

  def check(self, value: bytes | str, kind: str) -> None:
    """Raises Refusal (413) for an input that is too large. Whether it is sound is for the decoder to say."""
    if len(value) > self.bytes:
      raise Refusal(413, f"{len(value)} bytes: at most {self.bytes:.0f} are allowed")
    if kind == "text" and len(value) > self.characters:
      raise Refusal(413, f"{len(value)} characters: at most {self.characters:.0f} are allowed")
    size = image_size(value) if kind == "image" and isinstance(value, bytes) else None
    if size and size[0] * size[1] > self.pixels:
      raise Refusal(413, f"an image of {size[0]} x {size[1]} pixels: at most {self.pixels:.0f} pixels are allowed")
    if kind == "audio" and isinstance(value, bytes) and (seconds := audio_seconds(value)) > self.seconds:
      raise Refusal(413, f"{seconds:.0f} s of audio: at most {self.seconds:.0f} s are allowed")


def image_size(data: bytes) -> tuple[int, int] | None:
  """Width and height, by the header; None for what is no image."""
  header = read_header(data)
  if header:
    return header.width, header.height
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      with Image.open(io.BytesIO(data)) as image:
        return image.size
  except _DAMAGED:
    return None


def audio_seconds(data: bytes) -> float:
  """Length by the header; 0 for what is no audio, or does not say."""
  try:
    about = soundfile.info(io.BytesIO(data))
  except (RuntimeError, OSError, ValueError, TypeError):
    return 0.0
  return about.frames / about.samplerate if about.samplerate else 0.0
