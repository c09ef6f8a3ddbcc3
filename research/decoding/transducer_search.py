"""Greedy decoding of transducers (Graves 2012): frame after frame the most probable output, until it is the blank.

B utterances, T frames, M features, N labels at most, J size of the joint network, V outputs.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from research.config import ConfigError


class Joint(Protocol):
  """What decoding asks of a transducer."""

  def hear(self, x_BTM: jax.Array, lengths_B: jax.Array) -> tuple[jax.Array, jax.Array]: ...

  def silence(self, num: int, dtype: Any) -> Any: ...

  def predict(self, labels_B: jax.Array, state: Any) -> tuple[jax.Array, Any]: ...

  def scores(self, heard_BJ: jax.Array, predicted_BJ: jax.Array) -> jax.Array: ...


class Spoken(NamedTuple):
  """What is said.

  Attributes:
    labels_BN: int32, padded with the blank.
    counts_B: how many labels there are.
    frames_BN: the frame in which each is said.
    lengths_B: how many of the network's frames count.
  """

  labels_BN: jax.Array
  counts_B: jax.Array
  frames_BN: jax.Array
  lengths_B: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransducerGreedy:
  """The most probable output of each frame, again and again.

  Attributes:
    max_symbols: labels of one frame at most.
  """

  max_symbols: int = 5

  def __post_init__(self):
    if self.max_symbols < 1:
      raise ConfigError(f"max_symbols={self.max_symbols}: must be 1 or more")

  @property
  def signature(self) -> str:
    return f"transducer greedy|symbols:{self.max_symbols}"

  def search(self, model: Joint, x_BTM: jax.Array, lengths_B: jax.Array, *, blank: int) -> Spoken:
    """The labels of each utterance, N at most: as many as the network makes frames.

    Args:
      model: the transducer.
      x_BTM: utterances.
      lengths_B: frames that count.
      blank: the output that leads to the next frame.
    """
    heard_BTJ, lengths_B = model.hear(x_BTM, lengths_B)
    num, max_labels = heard_BTJ.shape[:2]
    predicted_BJ, state = model.predict(jnp.full(num, blank, jnp.int32), model.silence(num, heard_BTJ.dtype))

    def step(carry):
      frame_B, count_B, spoken_B, labels_BN, frames_BN, predicted_BJ, state = carry
      at_B = jnp.minimum(frame_B, max_labels - 1)
      heard_BJ = jnp.take_along_axis(heard_BTJ, at_B[:, None, None], 1)[:, 0]
      best_B = jnp.argmax(model.scores(heard_BJ, predicted_BJ), -1).astype(jnp.int32)
      says_B = (best_B != blank) & (spoken_B < self.max_symbols) & (frame_B < lengths_B) & (count_B < max_labels)
      place = jnp.arange(num), jnp.where(says_B, count_B, max_labels)
      labels_BN, frames_BN = (of.at[place].set(its, mode="drop") for of, its in ((labels_BN, best_B), (frames_BN, frame_B)))
      new_BJ, new = model.predict(best_B, state)
      kept = lambda new, old: jnp.where(says_B[:, None], new, old)
      return (jnp.where(says_B, frame_B, frame_B + 1), count_B + says_B, jnp.where(says_B, spoken_B + 1, 0), labels_BN,
              frames_BN, kept(new_BJ, predicted_BJ), jax.tree.map(kept, new, state))

    none_B = jnp.zeros(num, jnp.int32)
    nothing_BN = jnp.full((num, max_labels), blank, jnp.int32)
    carry = none_B, none_B, none_B, nothing_BN, jnp.zeros_like(nothing_BN), predicted_BJ, state
    _, count_B, _, labels_BN, frames_BN, *_ = jax.lax.while_loop(lambda carry: jnp.any(carry[0] < lengths_B), step, carry)
    return Spoken(labels_BN, count_B, frames_BN, lengths_B)
