"""SpecAugment: stretches of frequencies and of time are blanked out in training."""

import dataclasses

import jax
import jax.numpy as jnp

from research.augmentation.audio_features import inside, lengths_of
from research.augmentation.base import OnDevice
from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecAugment(OnDevice):
  """In training sets stretches of features to the mean of their utterance (Park et al. 2019, without time warping).

  The width of a stretch is uniform from 0 to its largest, its place uniform among those where it fits. The defaults are the
  paper's policy LibriSpeech double (LD); `basic` is its LB.

  Attributes:
    num_frequency: stretches of frequencies.
    max_frequency: filters of the widest (F).
    num_time: stretches of time.
    max_time: frames of the longest (T).
    max_share: and its largest share of the utterance (p).
    name: the feature, (B, T, M), with NAME_length (B,).
  """

  num_frequency: int = 2
  max_frequency: int = 27
  num_time: int = 2
  max_time: int = 100
  max_share: float = 1.0
  name: str = "inputs"

  def __post_init__(self):
    if min(self.num_frequency, self.max_frequency, self.num_time, self.max_time) < 0 or not 0 <= self.max_share <= 1:
      raise ConfigError(f"num_frequency={self.num_frequency}, max_frequency={self.max_frequency}, num_time={self.num_time}, "
                        f"max_time={self.max_time}, max_share={self.max_share}: must be 0 or more, the share at most 1")

  def __call__(self, batch, key):
    if key is None:
      return batch
    x, length_B = batch[self.name], lengths_of(batch, self.name)
    num, mels = len(x), x.shape[-1]
    longest_B = jnp.minimum(self.max_time, jnp.floor(self.max_share * length_B))
    keys = jax.random.split(key)
    hidden = _stretches(keys[0], (num, self.num_time), longest_B, length_B, x.shape[1])[:, :, None]
    widest_B = jnp.full(num, min(self.max_frequency, mels))
    hidden |= _stretches(keys[1], (num, self.num_frequency), widest_B, jnp.full(num, mels), mels)[:, None, :]
    counts = inside(x, length_B)[..., None]
    mean = jnp.where(counts, x, 0).sum((1, 2), keepdims=True) / jnp.maximum(counts.sum((1, 2), keepdims=True) * mels, 1)
    return {**batch, self.name: jnp.where(hidden & counts, mean.astype(x.dtype), x)}


def basic() -> SpecAugment:
  """The paper's policy LibriSpeech basic (LB)."""
  return SpecAugment(num_frequency=1, num_time=1)


def _stretches(key: jax.Array, shape: tuple[int, int], longest_B: jax.Array, length_B: jax.Array, size: int) -> jax.Array:
  """Which of `size` places lie in one of the stretches, (B, size) bool. Both draws are uniform over whole numbers."""
  width, place = jax.random.uniform(key, (2, *shape))
  width = jnp.floor(width * (longest_B[:, None] + 1))
  start = jnp.floor(place * (length_B[:, None] - width + 1))
  places = jnp.arange(size)
  return ((places >= start[..., None]) & (places < (start + width)[..., None])).any(1)
