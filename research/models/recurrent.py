"""An encoder and a decoder with recurrent layers (Sutskever et al. 2014), with attention where wanted (Bahdanau et al. 2015).

Shapes: B examples, S positions of the source, T of the target, R rows that are decoded, D size of a token's vector, H units, V
vocabulary.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.embedding import Embedding
from research.nn.gru import GRU
from research.nn.initializers import parameter_dtype
from research.nn.lstm import LSTM
from research.nn.recurrence import State
from research.nn.vocabulary import TokenScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """An encoder and a decoder.

  Attributes:
    cell: of all layers.
    width: units of a layer, and size of the tokens' vectors.
    num_layers: of each of the two.
    attention: the decoder's first layer also sees a mean of the encoder's outputs, weighted by v·tanh(W h + U output).
    dropout: rate, on tokens' vectors and between layers.
    source_size: the source's vocabulary, if it has one of its own.
  """

  cell: Literal["lstm", "gru"] = "lstm"
  width: int = 200
  num_layers: int = 2
  attention: bool = False
  dropout: float = 0.0
  source_size: int | None = None

  def __post_init__(self):
    if min(self.width, self.num_layers) < 1:
      raise ConfigError(f"width={self.width}, num_layers={self.num_layers}: must be 1 or more")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct], num_outputs: int, rngs: nnx.Rngs) -> "Recurrent":
    """The network for sources (B, S) and targets (B, T) of a vocabulary of num_outputs."""
    return Recurrent(self, inputs, num_outputs, rngs)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RecurrentState:
  """What has been decoded: R = B·N rows.

  Attributes:
    layers: the state of each layer, (R, H) each.
    memory_BSH: the encoder's outputs, of B sentences.
    mask_BS: True where the source is no padding.
  """

  layers: tuple[State, ...]
  memory_BSH: jax.Array
  mask_BS: jax.Array

  def expand(self, num_beams: int) -> "RecurrentState":
    """The same for `num_beams` rows a sentence."""
    return dataclasses.replace(self, layers=jax.tree.map(lambda x: jnp.repeat(x, num_beams, 0), self.layers))

  def reorder(self, rows_R: jax.Array) -> "RecurrentState":
    """Row r goes on where row rows_R[r] was."""
    return dataclasses.replace(self, layers=jax.tree.map(lambda x: x[rows_R], self.layers))


class Recurrent(nnx.Module):
  """Parameters: source/embedding, target/embedding, encoder/0/inputs/kernel ..., decoder/0/..., head/embedding, head_bias."""

  def __init__(self, config: Config, inputs, num_outputs: int, rngs: nnx.Rngs):
    self.config, width, dtype = config, config.width, parameter_dtype(inputs[0].dtype)
    cell = {"lstm": LSTM, "gru": GRU}[config.cell]
    table = lambda size: Embedding(size, width, deviation=1.0, dtype=dtype, rngs=rngs)
    self.source, self.target = table(config.source_size or num_outputs), table(num_outputs)
    layer = lambda num_inputs: cell(num_inputs, width, dtype=dtype, rngs=rngs)
    self.encoder = nnx.List([layer(width) for _ in range(config.num_layers)])
    first = 2 * width if config.attention else width
    self.decoder = nnx.List([layer(first if not i else width) for i in range(config.num_layers)])
    if config.attention:
      dense = lambda outputs: Dense(width, outputs, init="torch_uniform", dtype=dtype, rngs=rngs)
      self.query, self.key, self.score = dense(width), dense(width), dense(1)
    self.head = Embedding(num_outputs, width, deviation=width**-0.5, dtype=dtype, rngs=rngs)
    self.head_bias = nnx.Param(jnp.zeros(num_outputs, dtype))

  def __call__(self, source_BS: jax.Array, target_BT: jax.Array, source_mask_BS: jax.Array | None = None, *,
               key: jax.Array | None = None) -> TokenScores:
    """The next target token's scores at each position; see encoder_decoder.EncoderDecoder."""
    mask_BS = jnp.ones(source_BS.shape, bool) if source_mask_BS is None else source_mask_BS
    memory_BSH, layers = self._encode(source_BS, mask_BS, fold(key, 0))
    x_BTD = dropout(self.target(target_BT), self.config.dropout, fold(key, 1))
    outputs_BTH, _ = self._decode(x_BTD, RecurrentState(layers, memory_BSH, mask_BS), fold(key, 2))
    return self._scores(outputs_BTH)

  def _encode(self, source_BS, mask_BS, key):
    x_BSD, states = dropout(self.source(source_BS), self.config.dropout, fold(key, 0)), []
    for i, layer in enumerate(self.encoder):
      x_BSD = dropout(x_BSD, self.config.dropout, fold(key, i)) if i else x_BSD
      x_BSD, state = layer.run(x_BSD, mask_BS)
      states.append(state)
    return x_BSD, tuple(states)

  def _decode(self, x_RTD, state, key):
    first, *rest = self.decoder
    if self.config.attention:
      x_RTD, new = self._attending(first, x_RTD, state)
    else:
      x_RTD, new = first.run(x_RTD, None, state.layers[0])
    states = [new]
    for i, layer in enumerate(rest, 1):
      x_RTD, new = layer.run(dropout(x_RTD, self.config.dropout, fold(key, i)), None, state.layers[i])
      states.append(new)
    return x_RTD, dataclasses.replace(state, layers=tuple(states))

  def _attending(self, layer, x_RTD, state):
    """The first layer: what it looks at depends on its state, so that it takes its inputs one by one."""
    keys_BSH, num_sentences = self.key(state.memory_BSH), state.memory_BSH.shape[0]

    def step(hidden, x_RD):
      query_BNH = self.query(hidden[0]).reshape(num_sentences, -1, self.config.width)
      scores_BNS = self.score(jnp.tanh(query_BNH[:, :, None] + keys_BSH[:, None]))[..., 0]
      scores_BNS = jnp.where(state.mask_BS[:, None], scores_BNS, jnp.finfo(scores_BNS.dtype).min)
      seen_BNH = jnp.einsum("bns,bsh->bnh", jax.nn.softmax(scores_BNS), state.memory_BSH)
      hidden = layer.advance(hidden, layer.inputs(jnp.concatenate([x_RD, seen_BNH.reshape(x_RD.shape[0], -1)], -1)))
      return hidden, hidden[0]

    hidden, outputs_TRH = jax.lax.scan(step, state.layers[0], jnp.swapaxes(x_RTD, 0, 1))
    return jnp.swapaxes(outputs_TRH, 0, 1), hidden

  def _scores(self, outputs_BTH):
    return TokenScores(outputs_BTH, self.head.embedding[...], self.head_bias[...])

  # --- decoding: see research/decoding/base.py ----------------------------------------------------------------------------

  def start(self, inputs: dict[str, jax.Array], num_rows: int, num_slots: int) -> RecurrentState:
    """The state before the first target token. inputs: "inputs" (B, S) and "lengths" (B,) of the source."""
    del num_rows, num_slots
    mask_BS = jnp.arange(inputs["inputs"].shape[1]) < inputs["lengths"][:, None]
    memory_BSH, layers = self._encode(inputs["inputs"], mask_BS, None)
    return RecurrentState(layers, memory_BSH, mask_BS)

  def step(self, state: RecurrentState, tokens_RT: jax.Array,
           lengths_R: jax.Array | None = None) -> tuple[jax.Array, RecurrentState]:
    """Takes the next token of each row. Returns its logits (R, V) and the next state. Prompts are of one token."""
    assert lengths_R is None and tokens_RT.shape[1] == 1, "prompts of one token only"
    outputs_RTH, state = self._decode(self.target(tokens_RT), state, None)
    return self._scores(outputs_RTH).logits()[:, 0], state
