"""The headers of JPEG and PNG files: how large an image is and how it is stored, without decoding it."""

import dataclasses
import struct

# Start of frame: baseline, extended, progressive and so on; 0xC4, 0xC8 and 0xCC are other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class Header:
  """What an encoded image says of itself.

  Attributes:
    kind: the format.
    height: in pixels, before any orientation is applied.
    width: in pixels.
    bits: of one channel.
    layout: its channels; cmyk also stands for YCCK.
    animated: whether there are more frames than one.
  """

  kind: str
  height: int
  width: int
  bits: int
  layout: str
  animated: bool = False


def read_header(record: bytes) -> Header | None:
  """The header of a JPEG or PNG; None for other formats and for headers that make no sense."""
  try:
    if record.startswith(b"\xff\xd8"):
      return _jpeg(record)
    if record.startswith(_PNG):
      return _png(record)
  except (struct.error, IndexError, KeyError):  # cut off, or a channel layout that does not exist
    pass
  return None


def _jpeg(record: bytes) -> Header | None:
  at = 2
  while record[at] == 0xFF:
    marker = record[at + 1]
    if marker == 0xFF:  # fill byte
      at += 1
    elif marker in _FRAMES:
      bits, height, width, channels = struct.unpack_from(">BHHB", record, at + 4)
      return Header("jpeg", height, width, bits, {1: "grey", 3: "rgb", 4: "cmyk"}[channels])
    elif marker in (_SCAN, _END):
      return None
    else:
      at += 2 + struct.unpack_from(">H", record, at + 2)[0]
  return None


def _png(record: bytes) -> Header:
  width, height, bits, colour = struct.unpack_from(">IIBB", record, 16)
  layout = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgb_alpha"}[colour]
  animated, at = False, 8
  while (kind := record[at + 4:at + 8]) != b"IDAT":
    animated |= kind == b"acTL"
    if kind == b"tRNS":  # one colour, or entries of the palette, are transparent
      layout = f"{layout}_key"
    at += 12 + struct.unpack_from(">I", record, at)[0]
  return Header("png", height, width, bits, layout, animated)
