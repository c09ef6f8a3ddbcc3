"""The best span of a text: which tokens in a row, from a score for each to begin, to end and to be inside of one.

Shapes: B examples, T tokens, L lengths of a span: 1, 2, ...
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestSpan:
  """The span with the highest score, of equals the first and shortest.

  Attributes:
    max_tokens: of a span.
  """

  max_tokens: int = 12

  def __post_init__(self):
    if self.max_tokens < 1:
      raise ConfigError(f"max_tokens={self.max_tokens}: must be 1 or more")

  @property
  def signature(self) -> str:
    return f"span|max:{self.max_tokens}"

  def scores(self, marks_BT3: jax.Array, lengths_B: jax.Array) -> jax.Array:
    """(B, T, L): of the span that begins at t and has l + 1 tokens; −inf where it is not within the text.

    Args:
      marks_BT3: scores of each token to begin, to end and to be inside of the span; a span's are added.
      lengths_B: tokens of each text.
    """
    begin_BT, end_BT, inside_BT = jnp.moveaxis(marks_BT3.astype(jnp.promote_types(marks_BT3.dtype, jnp.float32)), -1, 0)
    last_TL = jnp.arange(begin_BT.shape[1])[:, None] + jnp.arange(self.max_tokens)
    ends_BTL = jnp.take(end_BT, last_TL, axis=1, mode="clip")
    found_BTL = begin_BT[..., None] + ends_BTL + self.sums(inside_BT)
    return jnp.where(last_TL < lengths_B[:, None, None], found_BTL, -jnp.inf)

  def sums(self, x_BT: jax.Array) -> jax.Array:
    """(B, T, L): of every span the sum of what its tokens have; what is beyond the text counts 0."""
    total_BT = jnp.pad(jnp.cumsum(x_BT, 1), ((0, 0), (1, 0)))  # before each token
    after_TL = jnp.arange(x_BT.shape[1])[:, None] + jnp.arange(1, self.max_tokens + 1)
    return jnp.take(total_BT, after_TL, axis=1, mode="clip") - total_BT[:, :-1, None]

  def tokens(self, scores_BTL: jax.Array, tokens_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The best span's tokens (B, L), 0 behind them, and their number (B,); none of an empty text."""
    best_B = jnp.argmax(scores_BTL.reshape(len(scores_BTL), -1), 1)
    real_B = jnp.max(scores_BTL, (1, 2)) > -jnp.inf
    first_B, length_B = best_B // self.max_tokens, jnp.where(real_B, best_B % self.max_tokens + 1, 0)
    at_BL = jnp.minimum(first_B[:, None] + jnp.arange(self.max_tokens), tokens_BT.shape[1] - 1)
    inside_BL = jnp.arange(self.max_tokens) < length_B[:, None]
    return jnp.where(inside_BL, jnp.take_along_axis(tokens_BT, at_BL, 1), 0), length_B
