"""What an audio file is and whether it is whole, by its first and last bytes: what libsndfile does not tell."""

import io
import struct
import zlib
from typing import BinaryIO, Literal

Kind = Literal["wav", "flac", "ogg", "mp3"]

# Lengths that programs write to a pipe, where the real one is not yet known: 4 GiB and about 2 GiB.
_UNKNOWN_LENGTH = 0x7FFF0000

# Bit rates in kbit/s by index, layer III: MPEG 1, and MPEG 2 and 2.5.
_BIT_RATES = ((0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
              (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))
_RATES = (44_100, 48_000, 32_000)
_VERSIONS = {3: 1, 2: 2, 0: 4}  # bits of the version: by what MPEG 1's sampling rates are divided
_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def kind_of(file: BinaryIO) -> Kind | None:
  """The format of a file by its first bytes; None if it is none of these. Leaves the file at its start."""
  head = file.read(12)
  file.seek(0)
  if head[:4] == b"RIFF" and head[8:] == b"WAVE":
    return "wav"
  if head[:4] in (b"fLaC", b"OggS"):
    return "flac" if head[:4] == b"fLaC" else "ogg"
  start = _after_tag(file)
  file.seek(start)
  found = _mp3_frame(file.read(4))
  if found:  # two bytes alone may be anything: a second frame must follow, or the end of the file
    file.seek(start + found[0])
    following = file.read(4)
    found = not following or _mp3_frame(following)
  file.seek(0)
  return "mp3" if found else None


def is_cut_off(file: BinaryIO, kind: Kind) -> bool:
  """Whether the file ends before it should. Of FLAC and MP3 only decoding tells. Leaves the file at its start."""
  cut = {"wav": _wav_is_cut_off, "ogg": _ogg_is_cut_off}.get(kind, lambda file, size: False)
  size = file.seek(0, io.SEEK_END)
  found = cut(file, size)
  file.seek(0)
  return found


def ogg_is_damaged(file: BinaryIO) -> bool:
  """Whether a page of an Ogg file fails its checksum: decoders leave such pages out without a word."""
  data, at = file.read(), 0
  while at < len(data):
    body = at + 27 + data[at + 26] if at + 26 < len(data) else len(data) + 1
    end = body + sum(data[at + 27:body])
    if data[at:at + 4] != b"OggS" or end > len(data):
      return True
    # RFC 3533's checksum, 0 in place of itself, is zlib's with the bits turned around and nothing inverted.
    page = (data[at:at + 22] + bytes(4) + data[at + 26:end]).translate(_BIT_REVERSED)
    checksum = (zlib.crc32(page, 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "big").translate(_BIT_REVERSED)
    if checksum != data[at + 22:at + 26]:
      return True
    at = end
  return False


def mp3_samples(file: BinaryIO) -> int | None:
  """Samples of an MP3 whose first frame does not say it, counted by the headers of its frames; None if that frame says it.

  libsndfile takes such a file to have the bit rate of its first frame to the end, and reads no further than that gives.
  Leaves the file at its start.
  """
  at = start = _after_tag(file)
  file.seek(0)
  data, total = file.read(), 0
  while found := _mp3_frame(data[at:at + 4]):
    size, samples = found
    if at == start and any(word in data[at:at + size] for word in (b"Xing", b"Info", b"VBRI")):
      total = None
      break
    at, total = at + size, total + samples
  file.seek(0)
  return total


def _wav_is_cut_off(file: BinaryIO, size: int) -> bool:
  at = 12
  while True:
    file.seek(at)
    head = file.read(8)
    if len(head) < 8:
      return True  # there is no chunk of data
    name, length = head[:4], struct.unpack("<I", head[4:])[0]
    if name == b"data":
      return length < _UNKNOWN_LENGTH and at + 8 + length > size
    at += 8 + length + length % 2


def _ogg_is_cut_off(file: BinaryIO, size: int) -> bool:
  file.seek(max(size - 65_307, 0))  # the size of the largest page
  tail = file.read()
  page = tail[max(tail.rfind(b"OggS"), 0):]
  body = 27 + page[26] if len(page) > 26 else size
  return not page[5:6] or not page[5] & 4 or body + sum(page[27:body]) > len(page)  # the bit marks the last page


def _after_tag(file: BinaryIO) -> int:
  """Where the audio begins behind an ID3 tag, 0 without one."""
  file.seek(0)
  head = file.read(10)
  if head[:3] != b"ID3" or len(head) < 10:
    return 0
  a, b, c, d = head[6:]
  return 10 + (a << 21 | b << 14 | c << 7 | d)


def _mp3_frame(head: bytes) -> tuple[int, int] | None:
  """Bytes and samples of a frame of layer III by its header; None if this is none."""
  if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
    return None
  version, bit_rate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
  if version not in _VERSIONS or bit_rate in (0, 15) or rate == 3:
    return None
  first = version == 3
  kilobits, hertz = _BIT_RATES[0 if first else 1][bit_rate], _RATES[rate] // _VERSIONS[version]
  return (144 if first else 72) * kilobits * 1000 // hertz + (head[2] >> 1 & 1), 1152 if first else 576
