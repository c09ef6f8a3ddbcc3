"""An encoder and a decoder that attends to it. The Transformer of 2017, BART, Marian, PEGASUS and T5 are configurations of it.

Shapes: B examples, S positions of the source, T of the target, R rows that are decoded, D model, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.dropout import fold
from research.nn.embedding import Embedding
from research.nn.initializers import parameter_dtype
from research.nn.stack import DecodingState, Stack, StackConfig
from research.nn.token_embedding import EmbeddingConfig, TokenEmbedding
from research.nn.vocabulary import TokenScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """An encoder and a decoder.

  Attributes:
    embedding: the first layer of both; its table of tokens is one, its other parameters are each one's own.
    encoder: its layers.
    decoder: its layers, with `cross`.
    source_size: the source's vocabulary, if it has one of its own, and a table; None for the target's.
    tied: the last layer's table is the decoder's first.
    output_scale: a factor on what the last layer sees; T5 has 1/√dim where the table is tied.
    output_bias: whether each token's score has a constant, which is not trained (BART's and Marian's final_logits_bias).
  """

  embedding: EmbeddingConfig
  encoder: StackConfig
  decoder: StackConfig
  source_size: int | None = None
  tied: bool = True
  output_scale: float = 1.0
  output_bias: bool = False

  def __post_init__(self):
    if not self.decoder.block.cross or self.encoder.block.cross:
      raise ConfigError("decoder.block.cross must be True and encoder.block.cross False: the decoder attends to the encoder")
    if not self.decoder.causal or self.encoder.causal:
      raise ConfigError("decoder.causal must be True and encoder.causal False")

  def build(self, inputs: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct], num_outputs: int,
            rngs: nnx.Rngs) -> "EncoderDecoder":
    """The network for sources (B, S) and targets (B, T) of a vocabulary of num_outputs.

    Raises ConfigError for texts that are too long.
    """
    for tokens in inputs:
      self.embedding.check(tokens.shape[1])
    return EncoderDecoder(self, inputs, num_outputs, rngs)


class EncoderDecoder(nnx.Module):
  """Parameters: tokens/embedding (V, D), encoder/layers/attention/query/kernel ..., decoder/layers/cross/query/kernel ..."""

  def __init__(self, config: Config, inputs, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype, dim = config, parameter_dtype(inputs[0].dtype), config.embedding.dim
    self.target_embedding = TokenEmbedding(config.embedding, num_outputs, dtype=dtype, rngs=rngs)
    self.source_embedding = self._source_layer(num_outputs, dtype=dtype, rngs=rngs)
    self.encoder = Stack(config.encoder, dtype=dtype, rngs=rngs)
    self.decoder = Stack(config.decoder, dtype=dtype, rngs=rngs)
    if not config.tied:
      self.head = Embedding(num_outputs, dim, deviation=dim**-0.5, dtype=dtype, rngs=rngs)
    if config.output_bias:
      self.output_bias = nnx.Variable(jnp.zeros(num_outputs, dtype))

  def _source_layer(self, num_outputs: int, *, dtype, rngs: nnx.Rngs) -> nnx.Module:
    config = self.config
    layer = TokenEmbedding(config.embedding, config.source_size or num_outputs, dtype=dtype, rngs=rngs)
    if config.source_size is None:
      layer.tokens = self.target_embedding.tokens
    return layer

  def __call__(self, source: jax.Array, target_BT: jax.Array, source_mask_BS: jax.Array | None = None, *,
               key: jax.Array | None = None) -> TokenScores:
    """The next target token's scores at each position.

    Args:
      source: integers (B, S).
      target_BT: integers, from the start token on; padding comes last, and what is before does not see it.
      source_mask_BS: True where the source is no padding.
      key: in training.
    """
    return self.read(self.encode(source, source_mask_BS, key=fold(key, 0)), target_BT, source_mask_BS, key=key)

  def read(self, memory_BSD: jax.Array, target_BT: jax.Array, source_mask_BS: jax.Array | None = None, *,
           key: jax.Array | None = None) -> TokenScores:
    """The same of what `encode` gave."""
    x_BTD = self.target_embedding(target_BT, jnp.arange(target_BT.shape[1]), key=fold(key, 1))
    return self._scores(self.decoder(x_BTD, memory_BSD=memory_BSD, memory_mask_BS=source_mask_BS, key=fold(key, 2)))

  def encode(self, source: jax.Array, mask_BS: jax.Array | None = None, *, key: jax.Array | None = None) -> jax.Array:
    """(B, S, D)."""
    x_BSD = self.source_embedding(source, jnp.arange(source.shape[1]), key=fold(key, 0))
    segments_BS = None if mask_BS is None else mask_BS.astype(jnp.int32)
    return self.encoder(x_BSD, segments_BT=segments_BS, key=fold(key, 1))

  def _scores(self, x_BTD):
    config = self.config
    table_VD = (self.target_embedding.tokens if config.tied else self.head).embedding[...]
    bias_V = self.output_bias[...] if config.output_bias else None
    return TokenScores(x_BTD if config.output_scale == 1 else x_BTD * config.output_scale, table_VD, bias_V)

  # --- decoding: see research/decoding/base.py ----------------------------------------------------------------------------

  def start(self, inputs: dict[str, jax.Array], num_rows: int, num_slots: int) -> DecodingState:
    """The state before the first target token. inputs: "inputs" (B, S) and "lengths" (B,) of the source."""
    source_BS = inputs["inputs"]
    mask_BS = jnp.arange(source_BS.shape[1]) < inputs["lengths"][:, None]
    memory_BSD = self.encode(source_BS, mask_BS)
    return self.decoder.start(num_rows, num_slots, memory_BSD.dtype, memory_BSD, mask_BS)

  def step(self, state: DecodingState, tokens_RT: jax.Array,
           lengths_R: jax.Array | None = None) -> tuple[jax.Array, DecodingState]:
    """Takes T further tokens of each row, lengths_R of them real. Returns the last one's logits (R, V) and the next state."""
    tokens_RT, state = state.aligned(tokens_RT, lengths_R)
    x_RTD = self.target_embedding(tokens_RT, state.positions(tokens_RT.shape[1]))
    x_RTD, state = self.decoder.decode(x_RTD, state)
    return self._scores(x_RTD[:, -1:]).logits()[:, 0], state
