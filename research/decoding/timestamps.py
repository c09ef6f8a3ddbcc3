"""When Whisper may, and must, say times (Radford et al. 2022, section 2.3; the rules of OpenAI's decoding and of transformers).

Shapes: R rows, V vocabulary, C columns of the history, as in research/decoding/constraints.py.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timestamps:
  """Times come first, do not fall, and stand in pairs: where a piece of text ends, and where the next begins.

  A time comes where all times together are more probable than the most probable token of text. The token before the first time,
  "no timestamps", does not come.

  Attributes:
    first: the token of time 0; the later times are all tokens behind it.
    max_initial: the latest first time, counted in tokens from `first`; None for any.
  """

  first: int
  max_initial: int | None = 50

  def __post_init__(self):
    if self.first < 1:
      raise ConfigError(f"first={self.first}: must be 1 or more: the token before it stands for no timestamps")
    if self.max_initial is not None and self.max_initial < 0:
      raise ConfigError(f"max_initial={self.max_initial}: must be 0 or more, or None")

  def apply(self, scores_RV: jax.Array, history_RC: jax.Array, column: jax.Array, num_new: jax.Array, end: int) -> jax.Array:
    """The scores of the next token, −inf where it may not be.

    Args:
      scores_RV: logits or log-probabilities, with all other constraints.
      history_RC: what each row has said.
      column: where the next token will stand.
      num_new: how many new tokens there are before it.
      end: of a hypothesis; the tokens before it in the vocabulary are text.
    """
    vocabulary, first = jnp.arange(scores_RV.shape[1]), self.first
    forbid = lambda scores, where: jnp.where(where, -jnp.inf, scores)
    said = lambda back: jax.lax.dynamic_index_in_dim(history_RC, column - back, axis=1) >= first  # (R, 1)
    last_R1, before_R1 = said(1) & (num_new >= 1), said(2) | (num_new < 2)
    times_V = vocabulary >= first
    scores_RV = forbid(scores_RV, vocabulary == first - 1)
    scores_RV = forbid(scores_RV, last_R1 & before_R1 & times_V)
    scores_RV = forbid(scores_RV, last_R1 & ~before_R1 & (vocabulary < end))
    # Times do not fall, so that the last is the largest. It may come again only as the second of a pair.
    new_RC = jnp.where(jnp.arange(history_RC.shape[1]) >= column - num_new, history_RC, -1)
    latest_R1 = jnp.max(new_RC, 1, keepdims=True)
    earliest_R1 = jnp.where(last_R1 & ~before_R1, latest_R1, latest_R1 + 1)
    scores_RV = forbid(scores_RV, times_V & (vocabulary < earliest_R1))
    initial_V = ~times_V if self.max_initial is None else ~times_V | (vocabulary > first + self.max_initial)
    scores_RV = forbid(scores_RV, (num_new == 0) & initial_V)
    timed_R1 = jax.nn.logsumexp(scores_RV[:, first:], -1, keepdims=True) > scores_RV[:, :first].max(-1, keepdims=True)
    return forbid(scores_RV, timed_R1 & ~times_V)
