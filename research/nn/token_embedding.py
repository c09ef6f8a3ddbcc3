"""The first layer of a text model: vectors of tokens and of positions.

Shapes: B examples, T positions, D model.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.dropout import dropout
from research.nn.embedding import Embedding, sinusoids
from research.nn.norms import LayerNorm


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
  """A first layer.

  Attributes:
    dim: width of the model.
    positions: vectors learned or sinusoidal, or none.
    max_length: positions that there are learned vectors for.
    offset: number of the first position's vector: BART's and RoBERTa's tables begin with two that are not used.
    scaled: whether tokens' vectors are multiplied by √dim (Vaswani et al. 2017).
    norm_eps: of a normalisation of the sum; None for none.
    num_types: kinds of positions, each with a vector (BERT's segments); 0 for none.
    dropout: rate, on the sum.
    deviation: of the initial vectors.
  """

  dim: int
  positions: Literal["learned", "sinusoidal", "none"] = "none"
  max_length: int = 1024
  offset: int = 0
  scaled: bool = False
  norm_eps: float | None = None
  num_types: int = 0
  dropout: float = 0.0
  deviation: float = 0.02

  def __post_init__(self):
    if self.positions == "sinusoidal" and self.dim % 2:
      raise ConfigError(f"dim={self.dim}: must be even for sinusoidal positions")

  def check(self, length: int) -> None:
    """Raises ConfigError for texts that are too long."""
    if self.positions == "learned" and length > self.max_length:
      raise ConfigError(f"max_length={self.max_length}: inputs have {length} positions")


class TokenEmbedding(nnx.Module):
  """Parameters: tokens/embedding (V, D), and positions/embedding, types/embedding, norm/scale where there are such."""

  def __init__(self, config: EmbeddingConfig, vocab_size: int, *, dtype, rngs: nnx.Rngs):
    self.config = config
    table = lambda size: Embedding(size, config.dim, deviation=config.deviation, dtype=dtype, rngs=rngs)
    self.tokens = table(vocab_size)
    if config.positions == "learned":
      self.positions = table(config.max_length + config.offset)
    if config.num_types:
      self.types = table(config.num_types)
    if config.norm_eps is not None:
      self.norm = LayerNorm(config.dim, eps=config.norm_eps, dtype=dtype)

  def __call__(self, tokens_BT: jax.Array, positions: jax.Array, *, types_BT: jax.Array | None = None,
               key: jax.Array | None = None) -> jax.Array:
    """(B, T, D) of tokens at `positions` (T,) or (B, T), all of type 0 unless said."""
    config, x_BTD = self.config, self.tokens(tokens_BT)
    if config.scaled:
      x_BTD = x_BTD * math.sqrt(config.dim)
    if config.positions == "learned":
      x_BTD = x_BTD + self.positions(positions + config.offset)
    elif config.positions == "sinusoidal":
      x_BTD = x_BTD + sinusoids(positions, config.dim).astype(x_BTD.dtype)
    if config.num_types:
      x_BTD = x_BTD + self.types(jnp.zeros_like(tokens_BT) if types_BT is None else types_BT)
    if config.norm_eps is not None:
      x_BTD = self.norm(x_BTD)
    return dropout(x_BTD, config.dropout, key)
