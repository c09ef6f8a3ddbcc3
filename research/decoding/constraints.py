"""What may not, or must, be said: changes to the scores of the next token.

Shapes: R rows, V vocabulary, C columns of the history: the prompt, flush right, then the new tokens; −1 where there is none.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.timestamps import Timestamps

NONE = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraints:
  """Hugging Face's logits processors of the same effect, in its order, which is the order of the fields.

  Attributes:
    repetition_penalty: scores of tokens that were there before, in prompt or output, are divided by this where positive and
      multiplied where negative (Keskar et al. 2019, section 4.1). The scores are log-probabilities in a beam search, logits
      otherwise, as with Hugging Face.
    no_repeat_ngram: no n tokens in a row come twice, prompt and output together; 0 for no such rule.
    banned: tokens that never come (bad_words_ids of one token, suppress_tokens).
    min_new_tokens: the end does not come before there are so many.
    forced_first: the first new token, the target language's often (forced_bos_token_id; for prompts of one token).
    forced_last: the last token where a hypothesis is as long as it may be (forced_eos_token_id).
    banned_first: tokens that do not come first; after a forced first one, not second (begin_suppress_tokens).
    timestamps: Whisper's rules of when times are said; None for a vocabulary without times.
  """

  repetition_penalty: float = 1.0
  no_repeat_ngram: int = 0
  banned: tuple[int, ...] = ()
  min_new_tokens: int = 0
  forced_first: int | None = None
  forced_last: int | None = None
  banned_first: tuple[int, ...] = ()
  timestamps: Timestamps | None = None

  def __post_init__(self):
    if not self.repetition_penalty > 0:
      raise ConfigError(f"repetition_penalty={self.repetition_penalty}: must be above 0; 1 changes nothing")
    if self.no_repeat_ngram < 0:
      raise ConfigError(f"no_repeat_ngram={self.no_repeat_ngram}: must be 1 or more, or 0 for no such rule")
    if self.min_new_tokens < 0:
      raise ConfigError(f"min_new_tokens={self.min_new_tokens}: must be 0 or more")
    for name, token in (("forced_first", self.forced_first), ("forced_last", self.forced_last)):
      if token is not None and token in self.banned:
        raise ConfigError(f"{name}={token}: is among banned={self.banned}")

  @property
  def signature(self) -> str:
    parts = {
        f"repetition:{self.repetition_penalty:g}": self.repetition_penalty != 1,
        f"no_repeat:{self.no_repeat_ngram}": self.no_repeat_ngram > 0,
        f"banned:{len(self.banned)}": bool(self.banned),
        f"min:{self.min_new_tokens}": self.min_new_tokens > 0,
        f"first:{self.forced_first}": self.forced_first is not None,
        f"last:{self.forced_last}": self.forced_last is not None,
        f"banned_first:{len(self.banned_first)}": bool(self.banned_first),
        "timestamps": self.timestamps is not None,
    }
    return "|".join(part for part, used in parts.items() if used)

  def apply(self, scores_RV: jax.Array, history_RC: jax.Array, column: jax.Array, num_new: jax.Array, limits_R: jax.Array,
            end: tuple[int, ...]) -> jax.Array:
    """The scores of the next token, −inf where it may not be.

    Args:
      scores_RV: logits or log-probabilities, float32.
      history_RC: what each row has said.
      column: where the next token will stand.
      num_new: how many new tokens there are before it, the same for all rows.
      limits_R: the most new tokens.
      end: the tokens that end a hypothesis.
    """
    vocabulary = jnp.arange(scores_RV.shape[1])
    among = lambda tokens: (vocabulary[:, None] == jnp.array(tokens)).any(1)
    if self.repetition_penalty != 1:
      scores_RV = penalize_repetition(scores_RV, history_RC, self.repetition_penalty)
    if self.no_repeat_ngram:
      scores_RV = ban_repeated_ngrams(scores_RV, history_RC, column, self.no_repeat_ngram)
    if self.banned:
      scores_RV = jnp.where(among(self.banned), -jnp.inf, scores_RV)
    if self.min_new_tokens:
      scores_RV = jnp.where(among(end) & (num_new < self.min_new_tokens), -jnp.inf, scores_RV)
    if self.forced_first is not None:
      scores_RV = jnp.where(num_new == 0, jnp.where(vocabulary == self.forced_first, 0, -jnp.inf), scores_RV)
    if self.forced_last is not None:
      last_R1 = (num_new == limits_R - 1)[:, None]
      scores_RV = jnp.where(last_R1, jnp.where(vocabulary == self.forced_last, 0, -jnp.inf), scores_RV)
    if self.banned_first:
      first = 0 if self.forced_first is None else 1
      scores_RV = jnp.where(among(self.banned_first) & (num_new == first), -jnp.inf, scores_RV)
    if self.timestamps is not None:
      scores_RV = self.timestamps.apply(scores_RV, history_RC, column, num_new, end[0])
    return scores_RV


def penalize_repetition(scores_RV: jax.Array, history_RC: jax.Array, penalty: float) -> jax.Array:
  """Divides the positive scores of tokens in the history by the penalty, multiplies the negative ones."""
  old_RC = jnp.take_along_axis(scores_RV, jnp.maximum(history_RC, 0), 1)
  return _put(scores_RV, history_RC, jnp.where(old_RC < 0, old_RC * penalty, old_RC / penalty))


def ban_repeated_ngrams(scores_RV: jax.Array, history_RC: jax.Array, column: jax.Array, n: int) -> jax.Array:
  """−inf for tokens that would complete n tokens in a row that the history has already."""
  num_windows = history_RC.shape[1] - n + 1
  if num_windows < 1:
    return scores_RV
  prefix_RN = jax.lax.dynamic_slice_in_dim(history_RC, column - n + 1, n - 1, axis=1)
  # A window that begins in the room before a short prompt is none; one that ends in the future ends with NONE: dropped.
  match_RW = (history_RC[:, :num_windows] != NONE) & (column >= n)
  for i in range(n - 1):
    match_RW &= history_RC[:, i:i + num_windows] == prefix_RN[:, i:i + 1]
  return _put(scores_RV, jnp.where(match_RW, history_RC[:, n - 1:], NONE), -jnp.inf)


def _put(scores_RV, tokens_RC, values):
  """Sets the scores of tokens, where these are not NONE."""
  rows_R1 = jnp.arange(scores_RV.shape[0])[:, None]
  return scores_RV.at[rows_R1, jnp.where(tokens_RC == NONE, scores_RV.shape[1], tokens_RC)].set(values, mode="drop")
