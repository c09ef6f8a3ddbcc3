"""Audio in: files of any rate and number of channels to mono samples of one rate. N samples, C channels.

WAV, FLAC, Ogg (Vorbis, Opus) and MP3, by libsndfile, resampled by soxr. What is read is read whole or not at all.
"""

import contextlib
import dataclasses
import io
import os
from collections.abc import Generator
from typing import BinaryIO, Literal, cast

import numpy as np
import soundfile
import soxr

from research.config import ConfigError, UserError
from research.preprocessing.audio_headers import Kind, is_cut_off, kind_of, mp3_samples, ogg_is_damaged
from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, take

Audio = bytes | str | os.PathLike

_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz
_MAX_CHANNELS = 32
_LARGEST = 16.0  # of samples that should be within −1 to 1: beyond, they were scaled otherwise or are no sound
_BLOCK = 2**16  # samples of all channels that are decoded at a time
_MP3_SLACK = 2 * 1152  # samples of the frames that an encoder adds


class AudioError(UserError):
  """Audio that cannot be read, in one line."""


@dataclasses.dataclass(frozen=True)
class Header:
  """What an audio file says of itself.

  Attributes:
    kind: its format.
    rate: samples a second of a channel.
    channels: how many.
    num_samples: of a channel; None where it does not say, as in a FLAC that was written to a pipe.
  """

  kind: Kind
  rate: int
  channels: int
  num_samples: int | None

  @property
  def seconds(self) -> float | None:
    """Its duration, None if it does not say."""
    return None if self.num_samples is None else self.num_samples / self.rate


def read_header(audio: Audio) -> Header:
  """The header of a file, given by its path or its bytes; nothing is decoded. Raises AudioError."""
  with _opened(audio) as (_, header):
    return header


def read_audio(audio: Audio, *, rate: int, max_seconds: float = 600.0) -> np.ndarray:
  """The samples of a file, mean of its channels, resampled: (N,) float32, −1 to 1 (a float file may reach further).

  Samples are decoded in blocks, so that besides the result little memory is needed.

  Args:
    audio: the path of a file, local or remote, or its bytes.
    rate: samples a second of the result.
    max_seconds: a longer file is refused, by its header if that says its length.

  Raises:
    AudioError: this is no audio, is damaged, cut off, empty or too long, or its header makes no sense.
  """
  with _opened(audio) as (sound, header):
    if header.seconds is not None and header.seconds > max_seconds:
      raise AudioError(f"{header.seconds:.0f} seconds of audio, more than max_seconds={max_seconds:g}")
    if header.kind == "ogg":
      with _file(audio) as file:
        if ogg_is_damaged(file):
          raise AudioError("damaged: a page fails its checksum")
    resample = soxr.ResampleStream(header.rate, rate, 1, dtype="float32") if header.rate != rate else None
    parts, done = [], 0
    while True:
      try:
        block = sound.read(_BLOCK // header.channels, dtype="float32", always_2d=True)
      except soundfile.LibsndfileError as error:
        raise AudioError(f"damaged or cut off: {_reason(error)}") from None
      done += len(block)
      if done > max_seconds * header.rate:
        raise AudioError(f"audio of more than max_seconds={max_seconds:g}")
      mono = _mono(block)
      parts.append(mono if resample is None else resample.resample_chunk(mono, last=not len(block)))
      if not len(block):
        break
    if header.num_samples is not None and done < header.num_samples - (_MP3_SLACK if header.kind == "mp3" else 0):
      raise AudioError(f"damaged or cut off: {done} samples of {header.num_samples}")
    return _checked(np.concatenate(parts))


def from_array(samples: np.ndarray, samples_rate: int, *, rate: int) -> np.ndarray:
  """The same of samples in memory.

  Args:
    samples: (N,) or (N, C): floats within −1 to 1, or integers of 16 or 32 bits.
    samples_rate: how many there are a second.
    rate: samples a second of the result, (N',) float32.

  Raises:
    AudioError: they are no such array, or not finite.
  """
  if samples.ndim not in (1, 2) or samples.dtype.name not in ("float32", "float64", "int16", "int32"):
    raise AudioError(f"an array {samples.dtype} {samples.shape}: must be (samples,) or (samples, channels), float or int16 or "
                     "int32")
  scale = 1.0 if samples.dtype.kind == "f" else -float(np.iinfo(samples.dtype).min)
  samples = samples if samples.ndim == 2 else samples[:, None]
  _check_form(samples_rate, samples.shape[1])
  mono = _mono(np.divide(samples, scale, dtype=np.float64).astype(np.float32))
  return _checked(mono if samples_rate == rate else soxr.resample(mono, samples_rate, rate))


def seconds(audio: Audio) -> float:
  """The duration of a file: from its header, or counted where the header does not say. Raises AudioError."""
  with _opened(audio) as (sound, header):
    if header.seconds is not None:
      return header.seconds
    done = 0
    with contextlib.suppress(soundfile.LibsndfileError):  # reading it, which comes later, tells what is wrong
      while block := len(sound.read(_BLOCK // header.channels, dtype="int16")):
        done += block
    return done / header.rate


def to_int16(samples: np.ndarray) -> np.ndarray:
  """Samples within −1 to 1 as int16, rounded; what lies outside is clipped. Exact where they were int16 before."""
  return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeAudio(Transform):
  """Decodes audio files to mono samples (N,) of one rate; see `read_audio`.

  Attributes:
    source: the feature that holds the encoded bytes; it is removed. Its length, where the source knows it, is in seconds.
    name: the feature that receives the samples.
    rate: samples a second.
    dtype: float32 within −1 to 1, or int16, half the size.
    max_seconds: longer audio is refused, if possible before it is decoded.
  """

  source: str = "record"
  name: str = "inputs"
  rate: int = 16_000
  dtype: Literal["float32", "int16"] = "float32"
  max_seconds: float = 600.0

  def __post_init__(self):
    if not _LOWEST_RATE <= self.rate <= _HIGHEST_RATE:
      raise ConfigError(f"rate={self.rate}: must be from {_LOWEST_RATE} to {_HIGHEST_RATE} samples a second")
    if not self.max_seconds > 0:
      raise ConfigError(f"max_seconds={self.max_seconds}: must be above 0")

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    samples = [read_audio(record, rate=self.rate, max_seconds=self.max_seconds)
               for record in take(features, self.source, self)]
    if self.dtype == "int16":
      samples = [to_int16(x) for x in samples]
    return {**{k: v for k, v in features.items() if k != self.source}, self.name: samples}

  def lengths(self, lengths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Seconds of the files to numbers of samples."""
    if self.source not in lengths:
      return lengths
    samples = np.ceil(lengths[self.source] * self.rate).astype(np.int64)
    return {**{k: v for k, v in lengths.items() if k != self.source}, self.name: samples}


@contextlib.contextmanager
def _opened(audio: Audio) -> Generator[tuple[soundfile.SoundFile, Header]]:
  """The file open at its first sample. Raises AudioError for a header that is damaged or makes no sense."""
  with _file(audio) as file:
    kind = kind_of(file)
    if kind is None:
      head = file.read(12)
      raise AudioError(f"no WAV, FLAC, Ogg or MP3: it begins with {head!r}" if head else "no audio but an empty file")
    if is_cut_off(file, kind):
      raise AudioError("damaged or cut off: the file ends before its audio does")
    counted = mp3_samples(file) if kind == "mp3" else None
    try:
      sound = soundfile.SoundFile(cast(BinaryIO, _Unnamed(file)))
    except soundfile.LibsndfileError as error:
      raise AudioError(f"a damaged or empty {kind} file: {_reason(error)}") from None
    with sound:
      known = sound.frames < 2**60  # FLAC: a length of 0 in the header means that it was not known
      header = Header(kind, sound.samplerate, sound.channels, sound.frames if known else None)
      _check_form(header.rate, header.channels)
      if header.num_samples == 0:
        raise AudioError("audio without samples")
      if counted is not None and counted > sound.frames + _MP3_SLACK:
        raise AudioError("an MP3 of varying bit rate whose first frame does not say how long it is: convert it")
      yield sound, header


def _file(audio: Audio) -> BinaryIO:
  if isinstance(audio, bytes):
    return io.BytesIO(audio)
  from etils import epath  # here: a bundle, which is given bytes, does without

  try:
    return cast(BinaryIO, epath.Path(audio).open("rb"))
  except OSError as error:
    raise AudioError(f"{os.fspath(audio)} cannot be read: {error.strerror or error}") from None


def _check_form(rate: int, channels: int) -> None:
  if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
    raise AudioError(f"a rate of {rate} samples a second: must be from {_LOWEST_RATE} to {_HIGHEST_RATE}")
  if not 1 <= channels <= _MAX_CHANNELS:
    raise AudioError(f"{channels} channels: must be from 1 to {_MAX_CHANNELS}")


def _mono(block_NC: np.ndarray) -> np.ndarray:
  return block_NC[:, 0] if block_NC.shape[1] == 1 else block_NC.mean(1)


def _checked(samples: np.ndarray) -> np.ndarray:
  if not len(samples):
    raise AudioError("audio without samples")
  largest = max(samples.max(), -samples.min())
  if not np.isfinite(largest):
    raise AudioError("samples that are not finite numbers")
  if largest > _LARGEST:
    raise AudioError(f"samples as large as {largest:.3g}: must be within −1 to 1")
  return samples


def _reason(error: soundfile.LibsndfileError) -> str:
  return " ".join(error.error_string.split()).removeprefix("Error : ").rstrip(".")  # its own text names an object in memory


class _Unnamed:
  """A file without its name, from whose end soundfile would conclude what it holds."""

  def __init__(self, file: BinaryIO):
    self.read, self.seek, self.tell = file.read, file.seek, file.tell
