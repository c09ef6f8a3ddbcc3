"""A text encoder: every position sees all others. BERT, RoBERTa and their like are configurations of it.

Shapes: B examples, T positions, D model, V vocabulary, C classes.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import parameter_dtype
from research.nn.norms import make_norm
from research.nn.stack import Stack, StackConfig
from research.nn.token_embedding import EmbeddingConfig, TokenEmbedding
from research.nn.transformer import BlockConfig
from research.nn.vocabulary import TokenScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A text encoder.

  Attributes:
    embedding: the first layer.
    encoder: the layers.
    vocab_size: tokens.
    head: what is asked for: classes, of the first token through a tanh layer ("first") or of the mean over all that is no
      padding ("mean"), or of each token ("each"); or the tokens themselves ("tokens": masked language modeling).
    pool_dropout: rate, on the first token before the tanh layer; RoBERTa has it.
    head_dropout: rate, on what the last layer of a classifier sees.
  """

  embedding: EmbeddingConfig
  encoder: StackConfig
  vocab_size: int
  head: Literal["first", "mean", "each", "tokens"] = "first"
  pool_dropout: float = 0.0
  head_dropout: float = 0.0

  def __post_init__(self):
    if self.encoder.causal or self.encoder.block.cross:
      raise ConfigError("encoder.causal and encoder.block.cross must be False")
    if self.vocab_size < 1:
      raise ConfigError(f"vocab_size={self.vocab_size}: must be at least 1")
    for name in ("pool_dropout", "head_dropout"):
      if not 0 <= getattr(self, name) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "TextEncoder":
    """The network for tokens (B, T), with num_outputs classes, or with head=tokens as many as the vocabulary has.

    Raises ConfigError for texts that are too long, or another number of outputs than tokens.
    """
    self.embedding.check(inputs.shape[1])
    if self.head == "tokens" and num_outputs != self.vocab_size:
      raise ConfigError(f"vocab_size={self.vocab_size}: must be the number of outputs, {num_outputs}, with head=tokens")
    return TextEncoder(self, inputs, num_outputs, rngs)


def make(*, vocab_size: int, dim: int, num_layers: int, num_heads: int, mlp_dim: int, max_length: int, dropout: float, head,
         attention_dropout: float = 0.0) -> Config:
  """A small one to train from scratch: learned positions, layers that normalise first, initial values as BERT's.

  Args:
    vocab_size: tokens.
    dim: width of the model.
    num_layers: layers.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    max_length: positions.
    dropout: rate, on the first layer's output, the branches and what the head sees.
    head: see Config.
    attention_dropout: rate, on attention weights.
  """
  block = BlockConfig(dim=dim, num_heads=num_heads, mlp_dim=mlp_dim, dropout=dropout, attention_dropout=attention_dropout,
                      init="normal", init_scale=0.02)
  embedding = EmbeddingConfig(dim=dim, positions="learned", max_length=max_length, norm_eps=1e-12, dropout=dropout)
  return Config(embedding=embedding, encoder=StackConfig(num_layers=num_layers, block=block, causal=False),
                vocab_size=vocab_size, head=head, head_dropout=dropout)


class TextEncoder(nnx.Module):
  """Parameters: embedding/tokens/embedding (V, D), encoder/layers/attention/query/kernel ...; of a classifier pooler/kernel
  (with head=first) and head/kernel (D, C); with head=tokens transform/kernel, transform_norm/scale, output_bias (V,)."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype, block = config, parameter_dtype(inputs.dtype), config.encoder.block
    layer = lambda size: Dense(block.dim, size, init=block.init, scale=block.init_scale, dtype=dtype, rngs=rngs)
    self.embedding = TokenEmbedding(config.embedding, config.vocab_size, dtype=dtype, rngs=rngs)
    self.encoder = Stack(config.encoder, dtype=dtype, rngs=rngs)
    if config.head == "first":
      self.pooler = layer(block.dim)
    if config.head == "tokens":
      self.transform = layer(block.dim)
      self.transform_norm = make_norm(block.norm, block.dim, eps=block.norm_eps, dtype=dtype)
      self.output_bias = nnx.Param(jnp.zeros(config.vocab_size, dtype))
    else:
      self.head = layer(num_outputs)

  def tokens(self, tokens_BT: jax.Array, mask_BT: jax.Array | None = None, *, types_BT: jax.Array | None = None,
             key: jax.Array | None = None) -> jax.Array:
    """(B, T, D): the last layer's output."""
    x_BTD = self.embedding(tokens_BT, jnp.arange(tokens_BT.shape[1]), types_BT=types_BT, key=fold(key, 0))
    return self.encoder(x_BTD, segments_BT=None if mask_BT is None else mask_BT.astype(jnp.int32), key=fold(key, 1))

  def features(self, tokens_BT: jax.Array, mask_BT: jax.Array | None = None, *, types_BT: jax.Array | None = None,
               key: jax.Array | None = None) -> jax.Array:
    """(B, D): what a classifier's last layer sees; the mean over the text with head=each and head=tokens."""
    x_BTD = self.tokens(tokens_BT, mask_BT, types_BT=types_BT, key=key)
    if self.config.head == "first":
      return jnp.tanh(self.pooler(dropout(x_BTD[:, 0], self.config.pool_dropout, fold(key, 2))))
    if mask_BT is None:
      return jnp.mean(x_BTD, 1)
    real_BT1 = mask_BT.astype(x_BTD.dtype)[..., None]
    return jnp.sum(x_BTD * real_BT1, 1) / jnp.maximum(jnp.sum(real_BT1, 1), 1)

  def __call__(self, tokens_BT: jax.Array, mask_BT: jax.Array | None = None, *, types_BT: jax.Array | None = None,
               key: jax.Array | None = None) -> jax.Array | TokenScores:
    """Scores of the classes (B, C), with head=each (B, T, C), or of the tokens at each position.

    Args:
      tokens_BT: integers.
      mask_BT: True where a position is no padding; None if none is.
      types_BT: which of the embedding's types each position has; None for 0.
      key: in training.
    """
    if self.config.head in ("first", "mean"):
      y_BD = self.features(tokens_BT, mask_BT, types_BT=types_BT, key=key)
      return self.head(dropout(y_BD, self.config.head_dropout, fold(key, 3)))
    x_BTD = self.tokens(tokens_BT, mask_BT, types_BT=types_BT, key=key)
    if self.config.head == "each":
      return self.head(dropout(x_BTD, self.config.head_dropout, fold(key, 3)))
    x_BTD = self.transform_norm(ACTIVATIONS[self.config.encoder.block.activation](self.transform(x_BTD)))
    return TokenScores(x_BTD, self.embedding.tokens.embedding[...], self.output_bias[...])
