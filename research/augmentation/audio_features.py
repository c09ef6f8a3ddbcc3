"""From samples to the features that speech networks read, on the device.

Utterances of unequal length are padded: `NAME_length` (B,) says how many samples, and afterwards how many frames, of the
feature NAME count; without it all do. What an utterance becomes does not depend on how far it is padded, nor on what with.
B utterances, N samples, T frames, M mel filters, C cepstral coefficients.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.augmentation import spectrogram
from research.augmentation.base import Batch, OnDevice
from research.config import ConfigError


def lengths_of(batch: Batch, name: str) -> jax.Array:
  """How many samples or frames of each example count, (B,) int32."""
  x = batch[name]
  return batch.get(f"{name}_length", jnp.full(x.shape[:1], x.shape[1], jnp.int32))


def inside(x: jax.Array, lengths_B: jax.Array) -> jax.Array:
  """Which samples or frames count, (B, N)."""
  return jnp.arange(x.shape[1]) < lengths_B[:, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMel(OnDevice):
  """Logarithmic mel spectra as Whisper defines them (Radford et al. 2022): samples (B, N) to frames (B, T, M).

  Hann windows about the samples 0, hop, 2 hop and so on; power; mel filters; log10, at least 8 below the largest value of the
  utterance; (x + 4) / 4. Before the first sample the utterance is mirrored, after its last there are zeros.

  Attributes:
    rate: samples a second.
    frame_size: samples of a window, and of the Fourier transform.
    hop: samples from one frame to the next.
    num_mels: M.
    scale: the mel scale, Slaney's or HTK's.
    seconds: pads and cuts all to this length, as Whisper does to 30: every frame then has its value, also those behind the
      utterance, and at the very end it is mirrored too. None keeps the batch's length; frames that do not count are 0.
    name: the feature: samples within −1 to 1, or int16.
  """

  rate: int = 16_000
  frame_size: int = 400
  hop: int = 160
  num_mels: int = 80
  scale: spectrogram.MelScale = "slaney"
  seconds: float | None = None
  name: str = "inputs"

  def __post_init__(self):
    for name in ("rate", "hop", "num_mels", "frame_size"):
      if getattr(self, name) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be 1 or more")
    if self.frame_size % 2:
      raise ConfigError(f"frame_size={self.frame_size}: must be even")
    if self.seconds is not None and self.seconds * self.rate < self.frame_size:
      raise ConfigError(f"seconds={self.seconds}: must be at least one frame")

  def __call__(self, batch, key):
    x, length_B = as_float(batch[self.name]), lengths_of(batch, self.name)
    if self.seconds is not None:
      size = round(self.seconds * self.rate)
      x, length_B = jnp.pad(x[:, :size], ((0, 0), (0, max(size - x.shape[1], 0)))), jnp.minimum(length_B, size)
    log_BTM = spectrogram.each(self._log_mel, jnp.where(inside(x, length_B), x, 0))
    length_B = -(-length_B // self.hop)
    counts = jnp.ones(log_BTM.shape[:2], bool) if self.seconds is not None else inside(log_BTM, length_B)
    largest = jnp.max(log_BTM, axis=(1, 2), where=counts[..., None], initial=-10, keepdims=True)
    log_BTM = (jnp.maximum(log_BTM, largest - 8) + 4) / 4
    return {**batch, self.name: jnp.where(counts[..., None], log_BTM, 0), f"{self.name}_length": length_B}

  def _log_mel(self, x_BN):
    """log10 of the mel filters' energies, (B, T, M)."""
    num, half = -(-x_BN.shape[1] // self.hop), self.frame_size // 2
    x_BN = jnp.pad(x_BN, ((0, 0), (0, max(half + 1 - x_BN.shape[1], 0))))  # as much as is mirrored
    end = x_BN[:, -half - 1:-1][:, ::-1] if self.seconds is not None else jnp.zeros((x_BN.shape[0], half))
    x_BN = jnp.concatenate([x_BN[:, 1:half + 1][:, ::-1], x_BN, end], axis=1)
    windows = spectrogram.frames(x_BN, self.frame_size, self.hop, num)
    power = spectrogram.power_spectrum(windows * jnp.asarray(spectrogram.periodic_hann(self.frame_size), jnp.float32),
                                       self.frame_size)
    filters = spectrogram.mel_filters(self.rate, self.frame_size, self.num_mels, self.scale)
    return jnp.log10(jnp.maximum(jnp.matmul(power, jnp.asarray(filters, jnp.float32), precision="highest"), 1e-10))


@dataclasses.dataclass(frozen=True, kw_only=True)
class KaldiFilterBank(OnDevice):
  """Kaldi's filter banks ("fbank"), without dither: samples (B, N) to frames (B, T, M), ln of mel energies.

  Every frame lies within its utterance (`snip_edges`): T = 1 + (N − frame) // hop; frames that do not count are 0. For each
  frame: its mean off, pre-emphasis 0.97, Povey's window, power at the next power of two, mel filters from `low` to `high`.

  Attributes:
    rate: samples a second.
    frame_ms: milliseconds of a frame.
    hop_ms: milliseconds from one frame to the next.
    num_mels: M.
    low: least frequency in Hz.
    high: largest in Hz; 0 or less is counted from half the rate.
    name: the feature: samples within −1 to 1, which are scaled to 16 bits as Kaldi reads them, or int16.
  """

  rate: int = 16_000
  frame_ms: float = 25.0
  hop_ms: float = 10.0
  num_mels: int = 80
  low: float = 20.0
  high: float = 0.0
  name: str = "inputs"

  def __post_init__(self):
    if min(self.rate, self.frame_ms, self.hop_ms, self.num_mels) <= 0:
      raise ConfigError(f"rate={self.rate}, frame_ms={self.frame_ms}, hop_ms={self.hop_ms}, num_mels={self.num_mels}: must be "
                        "above 0")
    if not 0 <= self.low < self._high() <= self.rate / 2:
      raise ConfigError(f"low={self.low}, high={self.high}: must be in order, within 0 to {self.rate / 2:g}")

  def _high(self) -> float:
    return self.high if self.high > 0 else self.rate / 2 + self.high

  def __call__(self, batch, key):
    x, length_B = as_float(batch[self.name]) * 32768, lengths_of(batch, self.name)
    size, hop = int(self.rate * self.frame_ms / 1000), int(self.rate * self.hop_ms / 1000)
    num = max(1 + (x.shape[1] - size) // hop, 1)
    length_B = jnp.where(length_B < size, 0, 1 + (length_B - size) // hop)
    log_BTM = spectrogram.each(functools.partial(self._log_mel, size=size, hop=hop, num=num), x)
    return {**batch, self.name: jnp.where(inside(log_BTM, length_B)[..., None], log_BTM, 0), f"{self.name}_length": length_B}

  def _log_mel(self, x_BN, *, size, hop, num):
    """ln of the mel filters' energies, (B, T = num, M), of frames of `size` samples."""
    windows = spectrogram.frames(x_BN, size, hop, num)
    windows -= windows.mean(-1, keepdims=True)
    windows -= 0.97 * jnp.concatenate([windows[..., :1], windows[..., :-1]], axis=-1)
    fft_size = 1 << (size - 1).bit_length()
    power = spectrogram.power_spectrum(windows * jnp.asarray(spectrogram.povey(size), jnp.float32), fft_size)
    filters = spectrogram.kaldi_filters(self.rate, fft_size, self.num_mels, self.low, self._high())
    mel = jnp.matmul(power, jnp.asarray(filters, jnp.float32), precision="highest")
    return jnp.log(jnp.maximum(mel, np.finfo(np.float32).eps))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cepstrum(OnDevice):
  """Cepstral coefficients of logarithmic mel spectra (B, T, M): the first C of their orthonormal cosine transform (DCT-II).

  After KaldiFilterBank(num_mels=23) these are Kaldi's MFCCs, apart from its energy in place of the first.

  Attributes:
    num: C.
    lifter: Q of the weights 1 + Q/2 sin(πc/Q); 0 weighs all alike. Kaldi's and HTK's is 22.
    name: the feature.
  """

  num: int = 13
  lifter: float = 0.0
  name: str = "inputs"

  def __post_init__(self):
    if self.num < 1 or self.lifter < 0:
      raise ConfigError(f"num={self.num}, lifter={self.lifter}: must be 1 or more, and 0 or more")

  def __call__(self, batch, key):
    x = batch[self.name]
    num_mels = x.shape[-1]
    if self.num > num_mels:
      raise ConfigError(f"num={self.num}: must be at most {num_mels}, the number of mel filters")
    order = np.arange(self.num)
    cosines = np.cos(np.pi / num_mels * np.outer(np.arange(num_mels) + 0.5, order)) * np.sqrt(2 / num_mels)
    cosines[:, 0] /= np.sqrt(2)
    if self.lifter:
      cosines *= 1 + self.lifter / 2 * np.sin(np.pi * order / self.lifter)
    return {**batch, self.name: jnp.matmul(x, jnp.asarray(cosines, jnp.float32), precision="highest")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deltas(OnDevice):
  """Puts the slopes of the features over time beside them, and the slopes of the slopes: (B, T, C) to (B, T, (order + 1) C).

  Each is the slope of a straight line through 2 · reach + 1 frames (Furui 1986); the first and the last frame that counts are
  repeated beyond the ends, as Kaldi and HTK do.

  Attributes:
    order: how often slopes are taken.
    reach: frames to either side.
    name: the feature.
  """

  order: int = 2
  reach: int = 2
  name: str = "inputs"

  def __post_init__(self):
    if self.order < 1 or self.reach < 1:
      raise ConfigError(f"order={self.order}, reach={self.reach}: must be 1 or more")

  def __call__(self, batch, key):
    x, length_B = batch[self.name], lengths_of(batch, self.name)
    # Kaldi applies one filter of all orders to the features, so that only they are repeated and not their slopes.
    slope = np.arange(-self.reach, self.reach + 1) / (2 * np.sum(np.arange(1, self.reach + 1) ** 2))
    parts, taps = [x], np.ones(1)
    for _ in range(self.order):
      taps = np.convolve(taps, slope)
      reach = len(taps) // 2
      places_T = jnp.arange(x.shape[1])
      shifted = [jnp.take_along_axis(x, jnp.clip(places_T + k, 0, jnp.maximum(length_B - 1, 0)[:, None])[..., None], axis=1)
                 for k in range(-reach, reach + 1)]
      parts.append(sum(float(tap) * part for tap, part in zip(taps, shifted)))
    out = jnp.concatenate(parts, axis=-1)
    return {**batch, self.name: jnp.where(inside(x, length_B)[..., None], out, 0)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsFloat(OnDevice):
  """Samples as `as_float` gives them.

  Attributes:
    name: the feature, (B, N).
  """

  name: str = "inputs"

  def __call__(self, batch, key):
    return {**batch, self.name: as_float(batch[self.name])}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsImage(OnDevice):
  """Frames (B, T, M) as images of one channel (B, T, M, 1), for networks that know no lengths: NAME_length is left out.

  Attributes:
    name: the feature.
  """

  name: str = "inputs"

  def __call__(self, batch, key):
    return {**{k: v for k, v in batch.items() if k != f"{self.name}_length"}, self.name: batch[self.name][..., None]}


def as_float(x: jax.Array) -> jax.Array:
  """Samples within −1 to 1, float32; int16 is scaled."""
  return x.astype(jnp.float32) / 32768 if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(jnp.float32)
