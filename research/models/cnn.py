"""A small convolutional network, over sequences or images."""

import dataclasses
import itertools
import math

import jax
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS, Activation
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import Init, parameter_dtype
from research.nn.norms import BatchNorm
from research.nn.pooling import average_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """Convolutions, then dense layers on what they give, flattened, then a dense head.

  Attributes:
    channels: outputs of each convolution.
    kernels: side of each kernel.
    strides: of each convolution.
    paddings: zeros on each side, of each convolution.
    pools: side of the average-pooling after each convolution of images, 1 for none; empty for none at all.
    widths: units of the dense layers before the head.
    activation: after each layer but the head.
    batch_norm: normalise each convolution's output over the batch; the convolutions then have no bias.
    dropout: rate, after each dense layer.
    init: initial weights.
  """

  channels: tuple[int, ...]
  kernels: tuple[int, ...]
  strides: tuple[int, ...]
  paddings: tuple[int, ...]
  pools: tuple[int, ...] = ()
  widths: tuple[int, ...] = ()
  activation: Activation = "relu"
  batch_norm: bool = False
  dropout: float = 0.0
  init: Init = "he_normal"

  def __post_init__(self):
    lengths = [len(getattr(self, name)) for name in ("channels", "kernels", "strides", "paddings")]
    if len(set(lengths)) > 1:
      raise ConfigError(f"channels, kernels, strides, paddings have lengths {lengths}: must be equal")
    if self.pools and (len(self.pools) != len(self.channels) or min(self.pools) < 1):
      raise ConfigError(f"pools={self.pools}: must be as many as channels and at least 1, or none")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "CNN":
    """The network for sequences (B, T) or (B, T, C), or images (B, H, W, C).

    Raises:
      ConfigError: the inputs are smaller than a kernel.
    """
    return CNN(self, inputs, num_outputs, rngs)


class CNN(nnx.Module):
  """Parameters: convolutions/0/kernel ..., norms/0/scale ..., layers/0/kernel ..., head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config = config
    dtype = parameter_dtype(inputs.dtype)
    *sides, dim = inputs.shape[1:] if len(inputs.shape) > 2 else (*inputs.shape[1:], 1)
    convolutions = []
    if config.pools and len(sides) != 2:
      raise ConfigError(f"pools={config.pools}: only images are pooled, not {inputs.shape}")
    self.pools = config.pools or (1,) * len(config.channels)
    shapes = zip(config.channels, config.kernels, config.strides, config.paddings, self.pools, strict=True)
    for channels, kernel, stride, padding, pool in shapes:
      if min(sides) + 2 * padding < kernel:
        raise ConfigError(f"a kernel of {kernel} does not fit on {tuple(sides)} with padding {padding}")
      convolutions.append(Conv(
          dim, channels, (kernel,) * len(sides), stride=stride, padding=padding, bias=not config.batch_norm, init=config.init,
          dtype=dtype, rngs=rngs))
      sides, dim = [((side + 2 * padding - kernel) // stride + 1) // pool for side in sides], channels
    self.convolutions = nnx.List(convolutions)
    self.norms = nnx.List([BatchNorm(n, dtype=dtype) for n in config.channels if config.batch_norm])
    widths = (math.prod(sides) * dim, *config.widths)
    dense = lambda n, m: Dense(n, m, init=config.init, dtype=dtype, rngs=rngs)
    self.layers = nnx.List([dense(n, m) for n, m in itertools.pairwise(widths)])
    self.head = dense(widths[-1], num_outputs)

  def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """x: (B, T), (B, T, C) or (B, H, W, C). Returns (B, num_outputs)."""
    activation = ACTIVATIONS[self.config.activation]
    x = x if x.ndim > 2 else x[..., None]
    for i, convolution in enumerate(self.convolutions):
      x = convolution(x)
      x = activation(self.norms[i](x, key=key) if self.config.batch_norm else x)
      x = average_pool(x, self.pools[i], stride=self.pools[i]) if self.pools[i] > 1 else x
    x = x.reshape(x.shape[0], -1)
    for i, layer in enumerate(self.layers):
      x = dropout(activation(layer(x)), self.config.dropout, fold(key, i))
    return self.head(x)
