"""White noise at a fixed ratio to the speech, for evaluations. B utterances, N samples."""

import jax
import jax.numpy as jnp

from research.augmentation.audio_features import as_float, inside, lengths_of
from research.augmentation.base import Batch


def with_noise(batch: Batch, decibels: jax.typing.ArrayLike, name: str = "inputs") -> Batch:
  """The samples `name` (B, N) with noise whose power is so many decibels below that of the utterance; silence stays silent.

  An utterance's noise follows from its `index` (B,); it is the same at every level.
  """
  x = as_float(batch[name])
  counts = inside(x, lengths_of(batch, name))
  noise = jax.vmap(lambda index: jax.random.normal(jax.random.fold_in(jax.random.key(0), index), x.shape[1:]))(batch["index"])
  power_B = jnp.where(counts, jnp.square(x), 0).sum(1) / jnp.maximum(counts.sum(1), 1)
  y = jnp.where(counts, x + noise * (jnp.sqrt(power_B) * 10 ** (-jnp.asarray(decibels) / 20))[:, None], 0)
  if jnp.issubdtype(batch[name].dtype, jnp.integer):
    y = jnp.clip(jnp.round(y * 32768), -32768, 32767).astype(batch[name].dtype)
  return {**batch, name: y}
