"""A convolutional network for sentences (Kim 2014): windows of words, and of each filter its strongest answer.

Shapes: B examples, T positions, D size of a token's vector, F filters of a width, C classes.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.embedding import Embedding
from research.nn.initializers import parameter_dtype


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A TextCNN; the defaults are the paper's.

  Attributes:
    vocab_size: tokens.
    dim: size of a token's vector.
    widths: tokens in a window, for each kind of filter.
    num_filters: of each width.
    dropout: rate, on what the last layer sees.
    deviation: of the tokens' initial vectors; the paper draws those that are not pretrained from ±0.25.
  """

  vocab_size: int
  dim: int = 300
  widths: tuple[int, ...] = (3, 4, 5)
  num_filters: int = 100
  dropout: float = 0.5
  deviation: float = 0.144

  def __post_init__(self):
    for name in ("vocab_size", "dim", "num_filters"):
      if getattr(self, name) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be at least 1")
    if not self.widths or min(self.widths) < 1:
      raise ConfigError(f"widths={self.widths}: give one or more numbers of tokens")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "TextCNN":
    """The network for tokens (B, T) of any length."""
    return TextCNN(self, inputs, num_outputs, rngs)


class TextCNN(nnx.Module):
  """Parameters: embedding/embedding (V, D), filters/0/kernel (width, D, F), filters/0/bias ..., head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    self.embedding = Embedding(config.vocab_size, config.dim, deviation=config.deviation, dtype=dtype, rngs=rngs)
    self.filters = nnx.List([Conv(config.dim, config.num_filters, (width,), padding=width - 1, dtype=dtype, rngs=rngs)
                             for width in config.widths])
    self.head = Dense(len(config.widths) * config.num_filters, num_outputs, init="glorot_uniform", dtype=dtype, rngs=rngs)

  def features(self, tokens_BT: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
    """(B, widths · F): the largest answer of each filter over the text, or 0 if none is above."""
    x_BTD = self.embedding(tokens_BT)
    mask_BT = jnp.ones(tokens_BT.shape, bool) if mask_BT is None else mask_BT
    x_BTD = jnp.where(mask_BT[..., None], x_BTD, 0)
    found = []
    for width, conv in zip(self.config.widths, self.filters):
      y_BSF = jax.nn.relu(conv(x_BTD))  # a window ends at each token, and beyond the last while it has one of them
      touching_BS = jnp.pad(mask_BT, ((0, 0), (width - 1, 0)), constant_values=True)
      found.append(jnp.max(jnp.where(touching_BS[..., None], y_BSF, 0), 1))
    return jnp.concatenate(found, -1)

  def __call__(self, tokens_BT: jax.Array, mask_BT: jax.Array | None = None, *, key: jax.Array | None = None) -> jax.Array:
    """Scores of the classes (B, C).

    Args:
      tokens_BT: integers.
      mask_BT: True where a position is no padding, which comes last; None if none is.
      key: in training.
    """
    return self.head(dropout(self.features(tokens_BT, mask_BT), self.config.dropout, key))
