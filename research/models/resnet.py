"""Residual networks (He et al. 2016): for ImageNet with their later variants, and the smaller ones for CIFAR.

Shapes: B examples, H height, W width, C channels.
"""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.convolution import ConvNorm
from research.nn.dense import Dense
from research.nn.initializers import Init, parameter_dtype
from research.nn.names import KERAS_UNUSED, TORCH_UNUSED, Row, Table, keras_rows, norm_rows, torch_rows
from research.nn.pooling import global_average_pool, max_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A residual network.

  Attributes:
    depths: blocks in each stage.
    channels: of the 3x3 convolutions in each stage.
    bottleneck: a block is 1x1, 3x3, 1x1 with four times the channels at its end; else 3x3, 3x3.
    stem: 7x7 with stride 2, then max-pooling (imagenet), or 3x3 (cifar).
    stride_first: a bottleneck's stride is on its first convolution, as in the paper and Keras; else on the 3x3 (version 1.5).
    shortcut: where shapes differ, a 1x1 convolution (projection, the paper's option B) or the image, subsampled and padded with
      channels of zeros (option A).
    conv_bias: convolutions have one, as in Keras, though the normalisation takes it out again.
    zero_init: the last normalisation's scale of each branch is 0 at first (Goyal et al. 2017, section 5.1).
    norm_eps: added to variances.
    norm_decay: of the running statistics.
    init: initial weights of convolutions; he_normal is that for a unit's outputs, as in torch.
    head_init: of the head.
    frozen_statistics: running statistics are used, and stay, in training too.
  """

  depths: tuple[int, ...]
  channels: tuple[int, ...] = (64, 128, 256, 512)
  bottleneck: bool = True
  stem: Literal["imagenet", "cifar"] = "imagenet"
  stride_first: bool = False
  shortcut: Literal["projection", "zeros"] = "projection"
  conv_bias: bool = False
  zero_init: bool = False
  norm_eps: float = 1e-5
  norm_decay: float = 0.9
  init: Init = "he_normal"
  head_init: Init = "torch_uniform"
  frozen_statistics: bool = False

  def __post_init__(self):
    if len(self.depths) != len(self.channels) or min((*self.depths, *self.channels), default=0) < 1:
      raise ConfigError(f"depths={self.depths}, channels={self.channels}: must be as many, and each at least 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "ResNet":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: the inputs are no images.
    """
    return ResNet(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    if self.conv_bias:
      return {"keras": _keras(self)}
    return {"torchvision": _torch(self), "timm": _torch(self), "hf": _hugging_face(self)}


def resnet18(**changes) -> Config:
  """ResNet-18; with 1,000 classes 11,689,512 parameters."""
  return dataclasses.replace(Config(depths=(2, 2, 2, 2), bottleneck=False), **changes)


def resnet34(**changes) -> Config:
  """ResNet-34: 21,797,672 parameters."""
  return dataclasses.replace(Config(depths=(3, 4, 6, 3), bottleneck=False), **changes)


def resnet50(**changes) -> Config:
  """ResNet-50, version 1.5, as torchvision and Hugging Face have it: 25,557,032 parameters."""
  return dataclasses.replace(Config(depths=(3, 4, 6, 3)), **changes)


def resnet50_keras(**changes) -> Config:
  """ResNet-50 as Keras has it: 25,636,712 parameters, running statistics included."""
  keras = resnet50(stride_first=True, conv_bias=True, norm_eps=1.001e-5, norm_decay=0.99, init="glorot_uniform",
                   head_init="glorot_uniform")
  return dataclasses.replace(keras, **changes)


def resnet101(**changes) -> Config:
  """ResNet-101, version 1.5: 44,549,160 parameters."""
  return dataclasses.replace(Config(depths=(3, 4, 23, 3)), **changes)


def resnet_cifar(depth: int, **changes) -> Config:
  """ResNet-20, 32, 44, 56, 110, ... for CIFAR-10: 0.27, 0.46, 0.66, 0.85, 1.7 million parameters (table 6).

  Raises:
    ConfigError: depth is not 6n + 2.
  """
  if depth < 8 or depth % 6 != 2:
    raise ConfigError(f"depth={depth}: must be 6n + 2, such as 20 or 56")
  cifar = Config(depths=((depth - 2) // 6,) * 3, channels=(16, 32, 64), bottleneck=False, stem="cifar", shortcut="zeros")
  return dataclasses.replace(cifar, **changes)


class Block(nnx.Module):
  """relu(branch(x) + shortcut(x))."""

  def __init__(self, config: Config, num_inputs: int, channels: int, stride: int, conv):
    self.stride, self.num_outputs = stride, channels * (4 if config.bottleneck else 1)
    if config.bottleneck:
      first, second = (stride, 1) if config.stride_first else (1, stride)
      branch = [conv(num_inputs, channels, 1, stride=first), conv(channels, channels, 3, stride=second),
                conv(channels, self.num_outputs, 1)]
    else:
      branch = [conv(num_inputs, channels, 3, stride=stride), conv(channels, channels, 3)]
    if config.zero_init:
      branch[-1].norm.scale[...] = jnp.zeros_like(branch[-1].norm.scale[...])
    self.branch = nnx.List(branch)
    projected = config.shortcut == "projection" and (stride, num_inputs) != (1, self.num_outputs)
    self.shortcut = conv(num_inputs, self.num_outputs, 1, stride=stride) if projected else None

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    y = x_BHWC
    for i, layer in enumerate(self.branch):
      y = layer(jax.nn.relu(y) if i else y, key=key)
    if self.shortcut is not None:
      return jax.nn.relu(y + self.shortcut(x_BHWC, key=key))
    kept = x_BHWC[:, ::self.stride, ::self.stride]
    return jax.nn.relu(y + jnp.pad(kept, ((0, 0), (0, 0), (0, 0), (0, self.num_outputs - kept.shape[-1]))))


class ResNet(nnx.Module):
  """Parameters: stem/conv/kernel, stem/norm/scale, stages/0/0/branch/0/conv/kernel, .../branch/0/norm/scale,
  stages/0/0/shortcut/conv/kernel, ..., head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    if len(inputs.shape) != 4:
      raise ConfigError(f"ResNet needs images (B, H, W, C), not {inputs.shape}")
    self.config, dtype = config, parameter_dtype(inputs.dtype)

    def conv(num_inputs, num_outputs, size, stride=1):
      fan_in = size * size * num_outputs if config.init == "he_normal" else None
      return ConvNorm(num_inputs, num_outputs, size, stride=stride, padding=size // 2, bias=config.conv_bias, init=config.init,
                      fan_in=fan_in, eps=config.norm_eps, decay=config.norm_decay, frozen=config.frozen_statistics,
                      dtype=dtype, rngs=rngs)

    size, stride = (7, 2) if config.stem == "imagenet" else (3, 1)
    dim = config.channels[0]
    self.stem = conv(inputs.shape[-1], dim, size, stride)
    stages = []
    for i, (depth, channels) in enumerate(zip(config.depths, config.channels)):
      blocks = []
      for j in range(depth):
        blocks.append(Block(config, dim, channels, 2 if i and not j else 1, conv))
        dim = blocks[-1].num_outputs
      stages.append(nnx.List(blocks))
    self.stages = nnx.List(stages)
    self.head = Dense(dim, num_outputs, init=config.head_init, dtype=dtype, rngs=rngs)

  def maps(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, rows, columns, channels): what the last block gives."""
    x = jax.nn.relu(self.stem(x_BHWC, key=key))
    if self.config.stem == "imagenet":
      x = max_pool(x, 3, stride=2, padding=1)
    return functools.reduce(lambda x, block: block(x, key=key), (block for stage in self.stages for block in stage), x)

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, channels): the mean over all places."""
    return global_average_pool(self.maps(x_BHWC, key=key))

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))


def _blocks(config: Config) -> list[tuple[int, int, str, int, bool]]:
  """(stage, block, path, layers of its branch, whether it has a projection) of every block."""
  length, dim, blocks = 3 if config.bottleneck else 2, config.channels[0], []
  for i, (depth, channels) in enumerate(zip(config.depths, config.channels)):
    for j in range(depth):
      num_outputs = channels * (4 if config.bottleneck else 1)
      projected = config.shortcut == "projection" and (bool(i and not j) or dim != num_outputs)
      blocks.append((i, j, f"stages/{i}/{j}", length, projected))
      dim = num_outputs
  return blocks


def _keras(config: Config) -> Table:
  layer = lambda theirs, ours: [*keras_rows(f"{theirs}_conv", f"{ours}/conv"),
                                *norm_rows(f"{theirs}_bn", f"{ours}/norm", "keras", batch=True)]
  rows = layer("conv1", "stem")
  for i, j, path, length, projected in _blocks(config):
    block = f"conv{i + 2}_block{j + 1}"
    rows += layer(f"{block}_0", f"{path}/shortcut") if projected else []
    rows += [row for k in range(length) for row in layer(f"{block}_{k + 1}", f"{path}/branch/{k}")]
  return Table((*rows, *keras_rows("predictions", "head")), KERAS_UNUSED)


def _torch_layer(conv: str, norm: str, ours: str) -> tuple[Row, ...]:
  return (*torch_rows(conv, f"{ours}/conv", "conv", bias=False), *norm_rows(norm, f"{ours}/norm", "torch", batch=True))


def _torch(config: Config) -> Table:
  rows = [*_torch_layer("conv1", "bn1", "stem")]
  for i, j, path, length, projected in _blocks(config):
    block = f"layer{i + 1}.{j}"
    for k in range(length):
      rows += _torch_layer(f"{block}.conv{k + 1}", f"{block}.bn{k + 1}", f"{path}/branch/{k}")
    rows += _torch_layer(f"{block}.downsample.0", f"{block}.downsample.1", f"{path}/shortcut") if projected else ()
  return Table((*rows, *torch_rows("fc", "head", "linear")), TORCH_UNUSED)


def _hugging_face(config: Config) -> Table:
  layer = lambda theirs, ours: _torch_layer(f"{theirs}.convolution", f"{theirs}.normalization", ours)
  rows = [*layer("resnet.embedder.embedder", "stem")]
  for i, j, path, length, projected in _blocks(config):
    block = f"resnet.encoder.stages.{i}.layers.{j}"
    rows += layer(f"{block}.shortcut", f"{path}/shortcut") if projected else ()
    rows += [row for k in range(length) for row in layer(f"{block}.layer.{k}", f"{path}/branch/{k}")]
  return Table((*rows, *torch_rows("classifier.1", "head", "linear")), TORCH_UNUSED, prefix="resnet.")
