"""The Conformer transducer (Gulati et al. 2020): a Conformer hears, an LSTM knows what was said, both together what comes.

Shapes: B utterances, T frames of the input and of the encoder, M features, N labels, P = N + 1 places in a text, D, E and J
sizes of the vectors of the encoder, of the LSTM and of the joint network, V outputs.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.models import conformer
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.embedding import Embedding
from research.nn.initializers import parameter_dtype
from research.nn.lstm import LSTM
from research.nn.recurrence import State
from research.nn.transducer import Lattice, lattice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A transducer. What the paper leaves open, sizes of 128 and 640 and 1,024 word pieces, is what its counts ask for.

  Attributes:
    encoder: hears.
    embedding: size of a label's vector.
    width: units of the LSTM.
    joint: units of the joint network.
    dropout: rate, on labels' vectors and on what the LSTM gives.
    blank: the output that leads to the next frame; the LSTM reads it before the first label.
    chunk: frames whose scores are held at once.
  """

  encoder: conformer.Config
  embedding: int = 128
  width: int = 320
  joint: int = 640
  dropout: float = 0.1
  blank: int = 0
  chunk: int = 8

  def __post_init__(self):
    if min(self.embedding, self.width, self.joint, self.chunk) < 1:
      raise ConfigError(f"embedding={self.embedding}, width={self.width}, joint={self.joint}, chunk={self.chunk}: must be 1 or "
                        "more")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Transducer":
    """The network for features (B, T, M)."""
    return Transducer(self, inputs, num_outputs, rngs)


def conformer_transducer_s(**changes) -> Config:
  """10.4 million parameters with 1,024 outputs; the paper has 10.3."""
  return Config(encoder=conformer.conformer_s(**changes))


def conformer_transducer_m(**changes) -> Config:
  """30.7 million."""
  return Config(encoder=conformer.conformer_m(**changes), width=640)


def conformer_transducer_l(**changes) -> Config:
  """118.6 million; the paper has 118.8."""
  return Config(encoder=conformer.conformer_l(**changes), width=640)


class Transducer(nnx.Module):
  """Parameters: encoder/..., labels/embedding, lstm/inputs/kernel ..., join_encoded, join_predicted, out/kernel ..."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    self.encoder = conformer.Encoder(config.encoder, inputs, rngs)
    self.labels = Embedding(num_outputs, config.embedding, deviation=1.0, dtype=dtype, rngs=rngs)
    self.lstm = LSTM(config.embedding, config.width, dtype=dtype, rngs=rngs)
    self.join_encoded = Dense(config.encoder.dim, config.joint, dtype=dtype, rngs=rngs)
    self.join_predicted = Dense(config.width, config.joint, bias=False, dtype=dtype, rngs=rngs)
    self.out = Dense(config.joint, num_outputs, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTM: jax.Array, lengths_B: jax.Array, labels_BN: jax.Array, *, key: jax.Array | None = None) -> Lattice:
    """The lattice of labels 0..V-1, not the blank, padded with anything there."""
    rate, config = self.config.dropout, self.config
    encoded_BTD, lengths_B = self.encoder(x_BTM, lengths_B, key=fold(key, 0))
    before_BP = jnp.pad(labels_BN, ((0, 0), (1, 0)), constant_values=config.blank)
    vectors = dropout(self.labels(before_BP).astype(encoded_BTD.dtype), rate, fold(key, 1))
    predicted_BPE = dropout(self.lstm(vectors), rate, fold(key, 2))
    scores = lambda encoded, predicted: self.out(jnp.tanh(encoded[:, :, None] + predicted[:, None]))
    return lattice(scores, self.join_encoded(encoded_BTD), lengths_B, self.join_predicted(predicted_BPE), labels_BN,
                   blank=config.blank, chunk=config.chunk)

  # --- decoding: see research/decoding/transducer_search.py --------------------------------------------------------------

  def hear(self, x_BTM: jax.Array, lengths_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the joint network is to know of frames (B, T, J), and how many count (B,)."""
    encoded_BTD, lengths_B = self.encoder(x_BTM, lengths_B)
    return self.join_encoded(encoded_BTD), lengths_B

  def silence(self, num: int, dtype) -> State:
    """The LSTM's state before anything was said."""
    return self.lstm.zero(num, dtype)

  def predict(self, labels_B: jax.Array, state: State) -> tuple[jax.Array, State]:
    """What the joint network is to know (B, J) of texts that go on with these labels; the blank begins one."""
    state = self.lstm.advance(state, self.lstm.inputs(self.labels(labels_B).astype(state[0].dtype)))
    return self.join_predicted(state[0]), state

  def scores(self, heard_BJ: jax.Array, predicted_BJ: jax.Array) -> jax.Array:
    """Scores (B, V) of what comes next."""
    return self.out(jnp.tanh(heard_BJ + predicted_BJ))
