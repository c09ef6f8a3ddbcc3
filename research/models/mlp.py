"""The multi-layer perceptron."""

import dataclasses
import math

import jax
from flax import nnx

from research.config import ConfigError
from research.nn import layers
from research.nn.activations import ACTIVATIONS, Activation
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import Init, parameter_dtype
from research.nn.layers import Remat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A multi-layer perceptron: hidden layers, then a dense head. Inputs are flattened.

  Attributes:
    widths: units of each hidden layer.
    activation: of the hidden layers.
    residual: each hidden layer but the first adds its input to its output.
    bias: whether layers have one.
    dropout: rate, after each hidden layer.
    init: initial weights.
    init_scale: a factor on the initial weights.
    head_scale: a further factor on those of the head.
    scan: all hidden layers but the first are stacked and run by one scan: quick to compile at any depth.
    remat: what the backward pass computes again, with scan.
  """

  widths: tuple[int, ...]
  activation: Activation = "relu"
  residual: bool = False
  bias: bool = True
  dropout: float = 0.0
  init: Init = "he_normal"
  init_scale: float = 1.0
  head_scale: float = 1.0
  scan: bool = False
  remat: Remat = "none"

  def __post_init__(self):
    if min(self.widths, default=1) < 1:
      raise ConfigError(f"widths={self.widths}: each is at least 1")
    if (self.residual or self.scan) and len(set(self.widths)) > 1:
      raise ConfigError(f"widths={self.widths}: must be equal with residual or scan")
    if self.scan and len(self.widths) < 2:
      raise ConfigError(f"widths={self.widths}: scan needs at least two hidden layers")
    if self.remat != "none" and not self.scan:
      raise ConfigError(f"remat={self.remat} needs scan")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "MLP":
    """The network for inputs (B, ...)."""
    return MLP(self, inputs, num_outputs, rngs)


class Hidden(Dense):
  """One hidden layer."""

  def __init__(self, config: Config, num_inputs: int, width: int, *, residual: bool, dtype, rngs: nnx.Rngs):
    super().__init__(
        num_inputs, width, bias=config.bias, init=config.init, scale=config.init_scale, dtype=dtype, rngs=rngs)
    self.activation, self.dropout, self.residual = config.activation, config.dropout, residual

  def __call__(self, x, *, key=None):
    y = ACTIVATIONS[self.activation](super().__call__(x))
    return dropout(x + y if self.residual else y, self.dropout, key)


class MLP(nnx.Module):
  """Parameters: layers/0/kernel, layers/0/bias, ..., head/kernel. With scan, layers/1 is all but the first, stacked."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config = config
    dtype = parameter_dtype(inputs.dtype)
    sizes = (math.prod(inputs.shape[1:]), *config.widths)
    hidden = lambda i, rngs: Hidden(
        config, sizes[i], sizes[i + 1], residual=config.residual and i > 0, dtype=dtype, rngs=rngs)
    if config.scan:
      rest = layers.create(lambda rngs: hidden(1, rngs), len(config.widths) - 1, stacked=True, rngs=rngs)
      self.layers = nnx.List([hidden(0, rngs), rest])
    else:
      self.layers = nnx.List([hidden(i, rngs) for i in range(len(config.widths))])
    self.head = Dense(sizes[-1], num_outputs, bias=config.bias, init=config.init,
                      scale=config.init_scale * config.head_scale, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """x: (B, ...). Returns (B, num_outputs)."""
    x = x.reshape(x.shape[0], -1)
    if self.config.scan:
      first, rest = self.layers
      x = first(x, key=fold(key, 0))
      x = layers.run(rest, x, key=fold(key, 1), remat=self.config.remat)
    else:
      for i, layer in enumerate(self.layers):
        x = layer(x, key=fold(key, i))
    return self.head(x)
