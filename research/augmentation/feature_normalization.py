"""Normalisation over time: of each utterance by itself, or all by one mean and deviation. N samples, T frames, C features."""

import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from research.augmentation.audio_features import as_float, inside, lengths_of
from research.augmentation.base import OnDevice
from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalizeSamples(OnDevice):
  """(x − mean) / deviation of the samples of each utterance, as wav2vec 2.0 takes them; those that do not count become 0.

  Attributes:
    name: the feature, (B, N): samples within −1 to 1, or int16.
  """

  name: str = "inputs"

  def __call__(self, batch, key):
    x = as_float(batch[self.name])
    counts = inside(x, lengths_of(batch, self.name))
    x = x - x.mean(1, keepdims=True, where=counts)
    x = x * jax.lax.rsqrt(jnp.square(x).mean(1, keepdims=True, where=counts) + 1e-7)
    return {**batch, self.name: jnp.where(counts, x, 0)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalizeUtterance(OnDevice):
  """(x − mean) / deviation of each feature over the frames of the utterance ("CMVN"); frames that do not count become 0.

  Attributes:
    variance: whether to divide by the deviation, too.
    name: the feature, (B, T, C) with NAME_length (B,).
  """

  variance: bool = True
  name: str = "inputs"

  def __call__(self, batch, key):
    x = batch[self.name].astype(jnp.float32)
    counts = inside(x, lengths_of(batch, self.name))[..., None]
    num = jnp.maximum(counts.sum(1, keepdims=True), 1)
    x = x - jnp.where(counts, x, 0).sum(1, keepdims=True) / num
    if self.variance:
      square = jnp.where(counts, jnp.square(x), 0).sum(1, keepdims=True) / num
      x = x * jax.lax.rsqrt(square + 1e-8)
    return {**batch, self.name: jnp.where(counts, x, 0)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalizeFeatures(OnDevice):
  """(x − mean) / deviation with the figures of a whole data set; frames that do not count become 0.

  Attributes:
    mean: one number, or one for each feature; see `statistics`.
    deviation: as many.
    name: the feature, (B, T, C) with NAME_length (B,).
  """

  mean: tuple[float, ...]
  deviation: tuple[float, ...]
  name: str = "inputs"

  def __post_init__(self):
    if len(self.mean) != len(self.deviation) or not self.mean or not all(d > 0 for d in self.deviation):
      raise ConfigError(f"{len(self.mean)} values of mean and {len(self.deviation)} of deviation: must be as many, and the "
                        "deviations above 0")

  def __call__(self, batch, key):
    x = batch[self.name].astype(jnp.float32)
    if len(self.mean) not in (1, x.shape[-1]):
      raise ConfigError(f"NormalizeFeatures: {len(self.mean)} means for {x.shape[-1]} features")
    x = (x - jnp.array(self.mean, jnp.float32)) / jnp.array(self.deviation, jnp.float32)
    return {**batch, self.name: jnp.where(inside(x, lengths_of(batch, self.name))[..., None], x, 0)}


def statistics(utterances: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and deviation of each feature over all frames of utterances (T, C): the settings of `NormalizeFeatures`."""
  count, total, square = 0, np.zeros(()), np.zeros(())
  for x in utterances:
    x = np.asarray(x, np.float64)
    count, total, square = count + len(x), total + x.sum(0), square + np.square(x).sum(0)
  assert count, "no frames"
  mean = total / count
  return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(square / count - mean**2, 1e-8)).tolist())
