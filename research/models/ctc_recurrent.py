"""Convolutions over time and recurrent layers in both directions, which say of every frame what is said in it (CTC).

B utterances, T frames of the input and of what the convolutions leave, M features, H units of a direction, V outputs.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS, Activation
from research.nn.convolution import Conv
from research.nn.ctc import Frames, inside
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.gru import GRU
from research.nn.initializers import parameter_dtype
from research.nn.lstm import LSTM
from research.nn.recurrence import Bidirectional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """Convolutions, recurrent layers, a dense head.

  Attributes:
    channels: outputs of each convolution.
    kernels: frames that each convolution sees, odd.
    strides: of each convolution; their product is how many frames become one.
    activation: after each convolution.
    cell: of the recurrent layers.
    width: units of each direction of a layer.
    num_layers: recurrent layers; with 0 no output knows more than its convolutions see.
    dropout: rate, before each recurrent layer and before the head.
  """

  channels: tuple[int, ...] = (64, 64)
  kernels: tuple[int, ...] = (5, 5)
  strides: tuple[int, ...] = (2, 2)
  activation: Activation = "relu"
  cell: Literal["gru", "lstm"] = "gru"
  width: int = 64
  num_layers: int = 1
  dropout: float = 0.0

  def __post_init__(self):
    if not len(self.channels) == len(self.kernels) == len(self.strides) or not all(k % 2 for k in self.kernels):
      raise ConfigError(f"channels={self.channels}, kernels={self.kernels}, strides={self.strides}: must be as many of each, "
                        "and the kernels odd")
    if min(self.width, *self.channels, *self.strides) < 1 or self.num_layers < 0:
      raise ConfigError(f"width={self.width}, channels={self.channels}, strides={self.strides}: must be 1 or more, "
                        f"num_layers={self.num_layers} at least 0")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Network":
    """The network for features (B, T, M)."""
    return Network(self, inputs, num_outputs, rngs)


class Network(nnx.Module):
  """Parameters: convolutions/0/kernel ..., recurrences/0/forward/inputs/kernel ..., head/kernel, head/bias."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype, dim = config, parameter_dtype(inputs.dtype), inputs.shape[-1]
    cell, convolutions, recurrences = {"gru": GRU, "lstm": LSTM}[config.cell], [], []
    for channels, kernel, stride in zip(config.channels, config.kernels, config.strides):
      convolutions.append(Conv(dim, channels, (kernel,), stride=stride, padding=kernel // 2, dtype=dtype, rngs=rngs))
      dim = channels
    for _ in range(config.num_layers):
      recurrences.append(Bidirectional(cell, dim, config.width, dtype=dtype, rngs=rngs))
      dim = 2 * config.width
    self.convolutions, self.recurrences = nnx.List(convolutions), nnx.List(recurrences)
    self.head = Dense(dim, num_outputs, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTM: jax.Array, lengths_B: jax.Array, *, key: jax.Array | None = None) -> Frames:
    """Scores of ceil(T / stride) frames. Padding counts as zeros, whatever it holds, and changes nothing."""
    x_BTC, activation = x_BTM, ACTIVATIONS[self.config.activation]
    mask_BT = inside(x_BTC.shape[1], lengths_B)
    for convolution in self.convolutions:
      x_BTC = activation(convolution(jnp.where(mask_BT[..., None], x_BTC, 0)))
      lengths_B = -(-lengths_B // convolution.stride)
      mask_BT = inside(x_BTC.shape[1], lengths_B)
    for i, recurrence in enumerate(self.recurrences):
      x_BTC = recurrence(dropout(x_BTC, self.config.dropout, fold(key, i)), mask_BT)
    return Frames(self.head(dropout(x_BTC, self.config.dropout, fold(key, self.config.num_layers))), lengths_B)
