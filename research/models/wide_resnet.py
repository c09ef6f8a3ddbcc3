"""Wide residual networks (Zagoruyko, Komodakis 2016): normalisation and relu before each convolution, many channels.

Shapes: B examples, H height, W width, C channels.
"""

import dataclasses
import functools

import jax
from flax import nnx

from research.config import ConfigError
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import parameter_dtype
from research.nn.norms import BatchNorm
from research.nn.pooling import global_average_pool

_GROUPS = ((16, 1), (32, 2), (64, 2))  # table 1: channels before widening, stride of the first block


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """WRN-depth-width for small images; WRN-28-10 with 10 classes has 36,479,194 parameters.

  Attributes:
    depth: convolutions along the way, 6n + 4.
    width: factor on the channels.
    dropout: rate, between the two convolutions of a block.
    norm_eps: added to variances.
    norm_decay: of the running statistics.
  """

  depth: int = 28
  width: int = 10
  dropout: float = 0.0
  norm_eps: float = 1e-5
  norm_decay: float = 0.9

  def __post_init__(self):
    if self.depth < 10 or self.depth % 6 != 4:
      raise ConfigError(f"depth={self.depth}: must be 6n + 4, such as 16 or 28")
    if self.width < 1:
      raise ConfigError(f"width={self.width}: must be at least 1")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "WideResNet":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: the inputs are no images.
    """
    return WideResNet(self, inputs, num_outputs, rngs)


class Block(nnx.Module):
  """x + branch(x), where the shapes are equal; else a 1x1 convolution of the normalised input + branch(x)."""

  def __init__(self, config: Config, num_inputs: int, num_outputs: int, stride: int, conv, norm):
    self.dropout = config.dropout
    self.first_norm, self.first = norm(num_inputs), conv(num_inputs, num_outputs, 3, stride)
    self.second_norm, self.second = norm(num_outputs), conv(num_outputs, num_outputs, 3, 1)
    self.shortcut = conv(num_inputs, num_outputs, 1, stride) if (stride, num_inputs) != (1, num_outputs) else None

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    y = jax.nn.relu(self.first_norm(x_BHWC, key=key))
    shortcut = x_BHWC if self.shortcut is None else self.shortcut(y)
    y = jax.nn.relu(self.second_norm(self.first(y), key=key))
    return shortcut + self.second(dropout(y, self.dropout, key))


class WideResNet(nnx.Module):
  """Parameters: stem/kernel, blocks/0/first_norm/scale, blocks/0/first/kernel, blocks/0/shortcut/kernel, ..., norm/scale,
  head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    if len(inputs.shape) != 4:
      raise ConfigError(f"a wide ResNet needs images (B, H, W, C), not {inputs.shape}")
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    norm = functools.partial(BatchNorm, eps=config.norm_eps, decay=config.norm_decay, dtype=dtype)

    def conv(num_inputs, num_outputs, size, stride):
      return Conv(num_inputs, num_outputs, (size, size), stride=stride, padding=size // 2, bias=False,
                  fan_in=size * size * num_outputs, dtype=dtype, rngs=rngs)

    dim = 16
    self.stem = conv(inputs.shape[-1], dim, 3, 1)
    blocks = []
    for channels, stride in _GROUPS:
      for i in range((config.depth - 4) // 6):
        blocks.append(Block(config, dim, channels * config.width, 1 if i else stride, conv, norm))
        dim = channels * config.width
    self.blocks, self.norm = nnx.List(blocks), norm(dim)
    self.head = Dense(dim, num_outputs, dtype=dtype, rngs=rngs)

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, channels): the mean over all places."""
    x = self.stem(x_BHWC)
    for i, block in enumerate(self.blocks):
      x = block(x, key=fold(key, i))
    return global_average_pool(jax.nn.relu(self.norm(x, key=key)))

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))
