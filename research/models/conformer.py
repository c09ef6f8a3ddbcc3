"""The Conformer (Gulati et al. 2020): convolutions that take every fourth frame, then layers of attention and convolution.

Shapes: B utterances, T frames of the input and of what the convolutions leave, M features, C channels, D model, V outputs.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn import layers
from research.nn.conformer import ConformerBlock, ConvolutionNorm
from research.nn.convolution import Conv
from research.nn.ctc import Frames, inside
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import parameter_dtype
from research.nn.layers import Remat
from research.nn.relative_attention import distances

STRIDE = 4  # frames that become one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """An encoder, and a dense head for CTC.

  Attributes:
    dim: width of the model.
    num_layers: layers.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks; None for 4 dim.
    kernel: frames that a layer's convolution sees.
    channels: of the two convolutions of 3 x 3 before the layers; None for dim.
    norm: after a layer's convolution: over the batch, as the paper has it, or over the channels of each frame.
    dropout: rate, on each branch, inside the two-layer networks, and before the first layer.
    scan: layers are stacked and run by one scan: quick to compile at any depth.
    remat: what the backward pass computes again.
  """

  dim: int
  num_layers: int
  num_heads: int = 4
  mlp_dim: int | None = None
  kernel: int = 32
  channels: int | None = None
  norm: ConvolutionNorm = "batch"
  dropout: float = 0.1
  scan: bool = True
  remat: Remat = "none"

  def __post_init__(self):
    if self.num_heads < 1 or self.dim < 1 or self.dim % self.num_heads or self.dim % 2:
      raise ConfigError(f"dim={self.dim} must be even and a multiple of num_heads={self.num_heads}")
    if min(self.num_layers, self.kernel, self.mlp_dim or 1, self.channels or 1) < 1:
      raise ConfigError(f"num_layers={self.num_layers}, kernel={self.kernel}, mlp_dim={self.mlp_dim}, "
                        f"channels={self.channels}: must be 1 or more")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Conformer":
    """The network for features (B, T, M)."""
    return Conformer(self, inputs, num_outputs, rngs)


def conformer_s(**changes) -> Config:
  """10.3 million parameters with the paper's transducer (see models/transducer.py), 8.7 million of them in the encoder."""
  return dataclasses.replace(Config(dim=144, num_layers=16), **changes)


def conformer_m(**changes) -> Config:
  """30.7 million parameters, 27.3 million of them in the encoder."""
  return dataclasses.replace(Config(dim=256, num_layers=16), **changes)


def conformer_l(**changes) -> Config:
  """118.8 million parameters, 115.1 million of them in the encoder."""
  return dataclasses.replace(Config(dim=512, num_layers=17, num_heads=8), **changes)


class Encoder(nnx.Module):
  """Parameters: convolutions/0/kernel ..., project/kernel, layers/attention/query/kernel (num_layers, D, D) ..."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, rngs: nnx.Rngs):
    self.config, dtype, (*_, num_features) = config, parameter_dtype(inputs.dtype), inputs.shape
    channels = config.channels or config.dim
    convolution = lambda num: Conv(num, channels, (3, 3), stride=2, padding=1, dtype=dtype, rngs=rngs)
    self.convolutions = nnx.List([convolution(1), convolution(channels)])
    self.project = Dense(channels * -(-num_features // STRIDE), config.dim, dtype=dtype, rngs=rngs)
    block = lambda rngs: ConformerBlock(
        config.dim, config.num_heads, mlp_dim=config.mlp_dim or 4 * config.dim, kernel=config.kernel, norm=config.norm,
        dropout=config.dropout, dtype=dtype, rngs=rngs)
    self.layers = layers.create(block, config.num_layers, stacked=config.scan, rngs=rngs)

  def __call__(self, x_BTM: jax.Array, lengths_B: jax.Array, *, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """Returns ceil(T / 4) vectors (B, T, D) and how many of each utterance count. What padding holds changes nothing."""
    x_BTMC = x_BTM[..., None]
    for convolution in self.convolutions:
      x_BTMC = jax.nn.relu(convolution(jnp.where(inside(x_BTMC.shape[1], lengths_B)[..., None, None], x_BTMC, 0)))
      lengths_B = -(-lengths_B // 2)
    x_BTD = dropout(self.project(x_BTMC.reshape(*x_BTMC.shape[:2], -1)), self.config.dropout, fold(key, 0))
    shared = inside(x_BTD.shape[1], lengths_B), distances(x_BTD.shape[1], self.config.dim)
    return layers.run(self.layers, x_BTD, *shared, key=fold(key, 1), remat=self.config.remat), lengths_B


class Conformer(nnx.Module):
  """The encoder, and what it says of every frame. Parameters: encoder/..., head/kernel, head/bias."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.encoder = Encoder(config, inputs, rngs)
    self.head = Dense(config.dim, num_outputs, dtype=parameter_dtype(inputs.dtype), rngs=rngs)

  def __call__(self, x_BTM: jax.Array, lengths_B: jax.Array, *, key: jax.Array | None = None) -> Frames:
    """Scores of ceil(T / 4) frames."""
    x_BTD, lengths_B = self.encoder(x_BTM, lengths_B, key=key)
    return Frames(self.head(x_BTD), lengths_B)
