"""VGG (Simonyan, Zisserman 2015): 3x3 convolutions in blocks that end in a max-pool, then dense layers.

Shapes: B examples, H height, W width, C channels, D features.
"""

import dataclasses
import itertools
import math

import jax
from flax import nnx

from research.config import ConfigError
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import Init, parameter_dtype
from research.nn.names import KERAS_UNUSED, Table, keras_rows
from research.nn.pooling import max_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A VGG.

  Attributes:
    depths: convolutions in each block.
    channels: of each block.
    widths: units of the dense layers between the last block, flattened, and the head.
    dropout: rate, after each dense layer but the head.
    init: initial weights: glorot_uniform is Keras'.
  """

  depths: tuple[int, ...] = (2, 2, 3, 3, 3)
  channels: tuple[int, ...] = (64, 128, 256, 512, 512)
  widths: tuple[int, ...] = (4096, 4096)
  dropout: float = 0.5
  init: Init = "glorot_uniform"

  def __post_init__(self):
    if len(self.depths) != len(self.channels) or min((*self.depths, *self.channels), default=0) < 1:
      raise ConfigError(f"depths={self.depths}, channels={self.channels}: must be as many, and each at least 1")
    if min(self.widths, default=1) < 1:
      raise ConfigError(f"widths={self.widths}: each is at least 1")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "VGG":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: a side is smaller than 2^blocks, 32.
    """
    return VGG(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    return {"keras": _keras(self)}


def vgg16(**changes) -> Config:
  """Configuration D; with 1,000 classes and images of 224 x 224 x 3 it has 138,357,544 parameters."""
  return dataclasses.replace(Config(), **changes)


def vgg19(**changes) -> Config:
  """Configuration E: 143,667,240 parameters."""
  return dataclasses.replace(Config(depths=(2, 2, 4, 4, 4)), **changes)


class VGG(nnx.Module):
  """Parameters by Keras' names of layers: block1_conv1/kernel, block1_conv1/bias, ..., fc1/kernel, fc2/kernel, head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    smallest = 2 ** len(config.depths)
    if len(inputs.shape) != 4 or min(inputs.shape[1:3]) < smallest:
      raise ConfigError(f"VGG needs images (B, H, W, C) of at least {smallest} x {smallest}, not {inputs.shape}")
    dim = inputs.shape[-1]
    for i, (depth, channels) in enumerate(zip(config.depths, config.channels), 1):
      for j in range(1, depth + 1):
        convolution = Conv(dim, channels, (3, 3), padding=1, init=config.init, dtype=dtype, rngs=rngs)
        setattr(self, f"block{i}_conv{j}", convolution)
        dim = channels
    places = math.prod(side // smallest for side in inputs.shape[1:3])
    widths = (places * dim, *config.widths)
    dense = lambda n, m: Dense(n, m, init=config.init, dtype=dtype, rngs=rngs)
    for i, (n, m) in enumerate(itertools.pairwise(widths), 1):
      setattr(self, f"fc{i}", dense(n, m))
    self.head = dense(widths[-1], num_outputs)

  def maps(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, rows, columns, channels): what the last block gives."""
    del key  # nothing is drawn before the dense layers
    for i, depth in enumerate(self.config.depths, 1):
      for j in range(1, depth + 1):
        x_BHWC = jax.nn.relu(getattr(self, f"block{i}_conv{j}")(x_BHWC))
      x_BHWC = max_pool(x_BHWC, 2, stride=2)
    return x_BHWC

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, D): after the dense layers, or the last block flattened where there are none."""
    x_BD = self.maps(x_BHWC, key=key).reshape(x_BHWC.shape[0], -1)
    for i in range(len(self.config.widths)):
      x_BD = dropout(jax.nn.relu(getattr(self, f"fc{i + 1}")(x_BD)), self.config.dropout, fold(key, i))
    return x_BD

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))


def _keras(config: Config) -> Table:
  layers = [f"block{i}_conv{j}" for i, depth in enumerate(config.depths, 1) for j in range(1, depth + 1)]
  layers += [f"fc{i}" for i in range(1, len(config.widths) + 1)]
  rows = [row for layer in layers for row in keras_rows(layer, layer)]
  return Table((*rows, *keras_rows("predictions", "head")), KERAS_UNUSED)
