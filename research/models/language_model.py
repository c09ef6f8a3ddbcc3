"""A language model: a decoder alone. GPT-2, Llama and their like are configurations of it.

Shapes: B examples, T positions, R rows that are decoded, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.dropout import fold
from research.nn.embedding import Embedding, positions_in_segments
from research.nn.initializers import parameter_dtype
from research.nn.stack import DecodingState, Stack, StackConfig
from research.nn.token_embedding import EmbeddingConfig, TokenEmbedding
from research.nn.vocabulary import TokenScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A language model.

  Attributes:
    embedding: the first layer.
    decoder: the layers.
    tied: the last layer's table is the first one's.
  """

  embedding: EmbeddingConfig
  decoder: StackConfig
  tied: bool = True

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "LanguageModel":
    """The network for tokens (B, T) of a vocabulary of num_outputs. Raises ConfigError for texts that are too long."""
    self.embedding.check(inputs.shape[1])
    return LanguageModel(self, inputs, num_outputs, rngs)


class LanguageModel(nnx.Module):
  """Parameters: embedding/tokens/embedding (V, D), decoder/layers/attention/query/kernel ...; if not tied, head/embedding."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    self.embedding = TokenEmbedding(config.embedding, num_outputs, dtype=dtype, rngs=rngs)
    self.decoder = Stack(config.decoder, dtype=dtype, rngs=rngs)
    if not config.tied:
      self.head = Embedding(num_outputs, config.embedding.dim, deviation=config.embedding.deviation, dtype=dtype, rngs=rngs)

  def __call__(self, tokens_BT: jax.Array, *, segments_BT: jax.Array | None = None,
               key: jax.Array | None = None) -> TokenScores:
    """The next token's scores at each position.

    Args:
      tokens_BT: integers.
      segments_BT: 0 for padding, else the number of the packed text a position belongs to; texts do not see each other.
      key: in training.
    """
    positions = jnp.arange(tokens_BT.shape[1]) if segments_BT is None else positions_in_segments(segments_BT)
    x_BTD = self.embedding(tokens_BT, positions, key=fold(key, 0))
    return self._scores(self.decoder(x_BTD, segments_BT=segments_BT, positions=positions, key=fold(key, 1)))

  def _scores(self, x_BTD):
    return TokenScores(x_BTD, (self.embedding.tokens if self.config.tied else self.head).embedding[...])

  # --- decoding: see research/decoding/base.py ----------------------------------------------------------------------------

  def start(self, inputs: None, num_rows: int, num_slots: int) -> DecodingState:
    """The state before the first token."""
    assert inputs is None
    return self.decoder.start(num_rows, num_slots, self.embedding.tokens.embedding[...].dtype)

  def step(self, state: DecodingState, tokens_RT: jax.Array,
           lengths_R: jax.Array | None = None) -> tuple[jax.Array, DecodingState]:
    """Takes T further tokens of each row, lengths_R of them real. Returns the last one's logits (R, V) and the next state."""
    tokens_RT, state = state.aligned(tokens_RT, lengths_R)
    x_RTD = self.embedding(tokens_RT, state.positions(tokens_RT.shape[1]))
    x_RTD, state = self.decoder.decode(x_RTD, state)
    return self._scores(x_RTD[:, -1:]).logits()[:, 0], state
