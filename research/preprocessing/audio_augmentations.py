"""Augmentations of samples in training: speed, noise, reverberation. B examples, N samples.

The samples of a batch are a list of (N,) float32, or an array (B, N). Everything is drawn for each example and epoch.
"""

import dataclasses
import functools

import numpy as np
import scipy.signal
import soxr

from research.config import ConfigError
from research.preprocessing.audio import read_audio
from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioAugmentation(Transform):
  """Base of transforms that change samples at random in training and leave them alone otherwise.

  Attributes:
    probability: of an example to be changed.
    name: the feature with the samples, float32.
  """

  probability: float = 1.0
  name: str = "inputs"

  def __post_init__(self):
    if not 0 <= self.probability <= 1:
      raise ConfigError(f"probability={self.probability}: must be from 0 to 1")

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    samples = take(features, self.name, self)
    if random is None:
      return features
    if any(x.ndim != 1 or x.dtype != np.float32 for x in samples):
      raise ValueError(f"{type(self).__name__}: {self.name!r} must be (N,) float32 each; decode to float32")
    chosen = random.uniform(1)[:, 0] < self.probability
    changes = random.fold(1)
    return {**features, self.name: [self.change(x, b, changes) if chosen[b] else x for b, x in enumerate(samples)]}

  def change(self, samples: np.ndarray, example: int, random: Randomness) -> np.ndarray:
    """Returns new samples of example `example` of the batch; the given ones are left as they are."""
    raise TypeError(f"{type(self).__name__} defines no change")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeedPerturbation(AudioAugmentation):
  """Plays an example at one of several speeds, which changes pitch and tempo together (Ko et al. 2015).

  Attributes:
    speeds: each as likely; above 1 is shorter and higher.
  """

  speeds: tuple[float, ...] = (0.9, 1.0, 1.1)

  def __post_init__(self):
    super().__post_init__()
    if not self.speeds or not all(0.25 <= speed <= 4 for speed in self.speeds):
      raise ConfigError(f"speeds={self.speeds}: must be one or more from 0.25 to 4")

  def change(self, samples: np.ndarray, example: int, random: Randomness) -> np.ndarray:
    speed = self.speeds[random.integers(1, len(self.speeds))[example, 0]]
    # soxr takes any two rates: played at `speed` times the rate, what was recorded at it lasts as much less.
    return samples if speed == 1 else soxr.resample(samples, round(1000 * speed), 1000)

  def lengths(self, lengths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if self.name not in lengths:
      return lengths
    slowest = min(*self.speeds, 1.0)
    return {**lengths, self.name: np.ceil(lengths[self.name] / slowest).astype(np.int64)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddNoise(AudioAugmentation):
  """Adds noise at a random ratio of powers, signal over noise. Silence is left silent.

  Attributes:
    snr: least and largest ratio in decibels.
    files: paths of recordings, one of which is drawn and begins at a random place, repeated if it is short; none is white
      noise.
    rate: samples a second, of the feature.
  """

  snr: tuple[float, float] = (5.0, 30.0)
  files: tuple[str, ...] = ()
  rate: int = 16_000

  def __post_init__(self):
    super().__post_init__()
    if self.snr[0] > self.snr[1]:
      raise ConfigError(f"snr={self.snr}: must be the least and the largest")

  def change(self, samples: np.ndarray, example: int, random: Randomness) -> np.ndarray:
    generator = random.generator(example)
    decibels = generator.uniform(*self.snr)
    if self.files:
      noise = _recording(self.files[generator.integers(len(self.files))], self.rate)
      noise = np.resize(np.roll(noise, -generator.integers(len(noise))), len(samples))
    else:
      noise = generator.standard_normal(len(samples), np.float32)
    power, noise_power = np.mean(np.square(samples)), np.mean(np.square(noise))
    if not power or not noise_power:
      return samples
    return samples + noise * np.float32(np.sqrt(power / noise_power) * 10 ** (-decibels / 20))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reverberate(AudioAugmentation):
  """Convolves an example with a random impulse response of a room; its loudness and its length stay, and it begins no later.

  Attributes:
    files: paths of recorded impulse responses.
    rate: samples a second, of the feature.
  """

  files: tuple[str, ...]
  rate: int = 16_000

  def __post_init__(self):
    super().__post_init__()
    if not self.files:
      raise ConfigError("files=(): Reverberate needs at least one impulse response")

  def change(self, samples: np.ndarray, example: int, random: Randomness) -> np.ndarray:
    response = _recording(self.files[random.integers(1, len(self.files))[example, 0]], self.rate)
    direct = int(np.argmax(np.abs(response)))  # what comes before the direct sound is the way to the microphone
    wet = scipy.signal.fftconvolve(samples, response)[direct:direct + len(samples)]
    power, wet_power = np.mean(np.square(samples)), np.mean(np.square(wet))
    return (wet * np.sqrt(power / wet_power)).astype(np.float32) if wet_power else samples


@functools.lru_cache(maxsize=1024)
def _recording(path: str, rate: int) -> np.ndarray:
  samples = read_audio(path, rate=rate)
  samples.setflags(write=False)
  return samples
