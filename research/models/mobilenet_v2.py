"""MobileNet v2 (Sandler et al. 2018): inverted residuals with linear bottlenecks.

Shapes: B examples, H height, W width, C channels.
"""

import dataclasses
import functools

import jax
from flax import nnx

from research.config import ConfigError
from research.nn.convolution import ConvNorm
from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.initializers import Init, parameter_dtype
from research.nn.names import KERAS_UNUSED, TORCH_UNUSED, Row, Table, keras_rows, norm_rows, torch_rows
from research.nn.pooling import global_average_pool

# Table 2: expansion t, channels c, repeats n, stride s of the first.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_LAST = 1280


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A MobileNet v2.

  Attributes:
    width: factor on all numbers of channels, which then become multiples of 8; below 1 the last layer keeps its 1,280.
    batch_norm: normalise each convolution's output over the batch; without, the convolutions have a bias: the form that
      normalisation folded into the kernels leaves.
    norm_eps: added to variances; Keras' and TensorFlow's is 1e-3, torch's 1e-5.
    norm_decay: of the running statistics; Keras' here is 0.999, torch's 0.9.
    tf_padding: TensorFlow's padding, which depends on an image's size; else 1 on all sides, torch's.
    dropout: rate, before the head.
    init: initial weights: glorot_uniform is Keras', he_normal that for a unit's outputs, as in torch.
    frozen_statistics: running statistics are used, and stay, in training too.
  """

  width: float = 1.0
  batch_norm: bool = True
  norm_eps: float = 1e-3
  norm_decay: float = 0.999
  tf_padding: bool = True
  dropout: float = 0.2
  init: Init = "glorot_uniform"
  frozen_statistics: bool = False

  def __post_init__(self):
    if not self.width > 0:
      raise ConfigError(f"width={self.width}: must be above 0")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "MobileNetV2":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: the inputs are no images.
    """
    return MobileNetV2(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    return {"keras": _keras(), "torchvision": _torchvision()} if self.batch_norm else {"tflite": _numbered(self)}


def mobilenet_v2(**changes) -> Config:
  """MobileNet v2; with 1,000 classes 3,504,872 parameters, and 34,112 running statistics."""
  return dataclasses.replace(Config(), **changes)


def _multiple_of_8(channels: float) -> int:
  """The nearest multiple of 8, but at least 8 and not more than 10 % below."""
  nearest = max(8, int(channels + 4) // 8 * 8)
  return nearest if nearest >= 0.9 * channels else nearest + 8


class Block(nnx.Module):
  """Pointwise to `expanded` channels (unless they are the inputs'), depthwise, pointwise without activation; the input is added
  where the shapes are equal."""

  def __init__(self, num_inputs: int, expanded: int, num_outputs: int, stride: int, conv):
    self.expand = conv(num_inputs, expanded, 1) if expanded != num_inputs else None
    self.depthwise = conv(expanded, expanded, 3, stride=stride, groups=expanded)
    self.project = conv(expanded, num_outputs, 1)
    self.residual = (stride, num_inputs) == (1, num_outputs)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    y = x_BHWC if self.expand is None else jax.nn.relu6(self.expand(x_BHWC, key=key))
    y = self.project(jax.nn.relu6(self.depthwise(y, key=key)), key=key)
    return x_BHWC + y if self.residual else y


class MobileNetV2(nnx.Module):
  """Parameters: stem/conv/kernel, stem/norm/scale, blocks/0/depthwise/conv/kernel, blocks/0/project/conv/kernel,
  blocks/1/expand/conv/kernel, ..., last/conv/kernel, head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    if len(inputs.shape) != 4:
      raise ConfigError(f"MobileNet v2 needs images (B, H, W, C), not {inputs.shape}")
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    scaled = lambda channels: _multiple_of_8(channels * config.width)

    def conv(num_inputs, num_outputs, size, stride=1, groups=1):
      fan_in = size * size * num_outputs if config.init == "he_normal" else None
      padding = "SAME" if config.tf_padding else size // 2
      eps = config.norm_eps if config.batch_norm else None
      return ConvNorm(num_inputs, num_outputs, size, stride=stride, groups=groups, padding=padding, init=config.init,
                      fan_in=fan_in, eps=eps, decay=config.norm_decay, frozen=config.frozen_statistics, dtype=dtype, rngs=rngs)

    dim = scaled(32)
    self.stem = conv(inputs.shape[-1], dim, 3, 2)
    blocks = []
    for expansion, channels, repeats, stride in _STAGES:
      for i in range(repeats):
        blocks.append(Block(dim, dim * expansion, scaled(channels), 1 if i else stride, conv))
        dim = scaled(channels)
    self.blocks = nnx.List(blocks)
    num_features = _multiple_of_8(_LAST * max(1.0, config.width))
    self.last = conv(dim, num_features, 1)
    self.head = Dense(num_features, num_outputs, init=config.init, dtype=dtype, rngs=rngs)

  def maps(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, rows, columns, channels): what the last convolution gives."""
    x = jax.nn.relu6(self.stem(x_BHWC, key=key))
    x = functools.reduce(lambda x, block: block(x, key=key), self.blocks, x)
    return jax.nn.relu6(self.last(x, key=key))

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, channels): the mean over all places, with dropout."""
    return dropout(global_average_pool(self.maps(x_BHWC, key=key)), self.config.dropout, key)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))


_NUM_BLOCKS = sum(repeats for _, _, repeats, _ in _STAGES)


def _keras() -> Table:
  layer = lambda theirs, norm, ours, layout="same": [*keras_rows(theirs, f"{ours}/conv", layout, bias=False),
                                                     *norm_rows(norm, f"{ours}/norm", "keras", batch=True)]
  rows = layer("Conv1", "bn_Conv1", "stem")
  for i in range(_NUM_BLOCKS):
    block = f"block_{i}" if i else "expanded_conv"
    for part in ("expand", "depthwise", "project")[not i:]:
      layout = "depthwise" if part == "depthwise" else "same"
      rows += layer(f"{block}_{part}", f"{block}_{part}_BN", f"blocks/{i}/{part}", layout)
  rows += layer("Conv_1", "Conv_1_bn", "last")
  return Table((*rows, *keras_rows("predictions", "head")), KERAS_UNUSED)


def _torchvision() -> Table:
  layer = lambda theirs, norm, ours: [*torch_rows(theirs, f"{ours}/conv", "conv", bias=False),
                                      *norm_rows(norm, f"{ours}/norm", "torch", batch=True)]
  activated = lambda theirs, ours: layer(f"{theirs}.0", f"{theirs}.1", ours)
  rows = activated("features.0", "stem")
  for i in range(_NUM_BLOCKS):
    parts, block = ("expand", "depthwise")[not i:], f"features.{i + 1}.conv"
    rows += [row for n, part in enumerate(parts) for row in activated(f"{block}.{n}", f"blocks/{i}/{part}")]
    rows += layer(f"{block}.{len(parts)}", f"{block}.{len(parts) + 1}", f"blocks/{i}/project")
  rows += activated(f"features.{_NUM_BLOCKS + 1}", "last")
  return Table((*rows, *torch_rows("classifier.1", "head", "linear")), TORCH_UNUSED)


def _numbered(config: Config) -> Table:
  """TensorFlow Lite's folded form: convolutions numbered in their order, kernels HWIO, the head a 1x1 convolution."""
  first, *others = (f"blocks/{i}" for i in range(_NUM_BLOCKS))
  inside = lambda block: (f"{block}/{part}/conv" for part in ("expand", "depthwise", "project"))
  layers = ["stem/conv", f"{first}/depthwise/conv", f"{first}/project/conv"]
  layers += [*(part for block in others for part in inside(block)), "last/conv"]
  rows = [Row(f"layer{n:02d}/{word}", f"{layer}/{word}") for n, layer in enumerate(layers) for word in ("kernel", "bias")]
  num_features = _multiple_of_8(_LAST * max(1.0, config.width))
  head = f"layer{len(layers):02d}"
  rows += [Row(f"{head}/kernel", "head/kernel", shape=(1, 1, num_features, -1)), Row(f"{head}/bias", "head/bias")]
  return Table(tuple(rows))
