"""MobileNet (Howard et al. 2017): depthwise 3x3 and pointwise convolutions in turn.

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
from research.nn.names import KERAS_UNUSED, Row, Table, keras_rows, norm_rows
from research.nn.pooling import global_average_pool

# Table 1: outputs and stride of each block.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A MobileNet.

  Attributes:
    width: factor on all numbers of channels, α.
    batch_norm: normalise each convolution's output over the batch; without, the convolutions have a bias: the form that
      normalisation folded into the kernels leaves.
    norm_eps: added to variances; Keras' and TensorFlow's is 1e-3, torch's 1e-5.
    norm_decay: of the running statistics; Keras' here is 0.99, torch's 0.9.
    dropout: rate, before the head.
    init: initial weights: glorot_uniform is Keras'.
    frozen_statistics: running statistics are used, and stay, in training too.
  """

  width: float = 1.0
  batch_norm: bool = True
  norm_eps: float = 1e-3
  norm_decay: float = 0.99
  dropout: float = 1e-3
  init: Init = "glorot_uniform"
  frozen_statistics: bool = False

  def __post_init__(self):
    if not self.width > 0:
      raise ConfigError(f"width={self.width}: must be above 0")
    if not 0 <= self.dropout < 1:
      raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "MobileNet":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: the inputs are no images.
    """
    return MobileNet(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    return {"keras": _keras(self)} if self.batch_norm else {"tflite": _numbered(self)}


def mobilenet_v1(**changes) -> Config:
  """MobileNet; with 1,000 classes 4,253,864 parameters with Keras' running statistics, at width 1/4 475,544."""
  return dataclasses.replace(Config(), **changes)


def _scaled(config: Config, channels: int) -> int:
  return max(int(channels * config.width), 8)  # the authors' code has the least of 8


class Block(nnx.Module):
  """A depthwise convolution, then a pointwise one, each with normalisation and min(max(x, 0), 6)."""

  def __init__(self, num_inputs: int, num_outputs: int, stride: int, conv):
    self.depthwise = conv(num_inputs, num_inputs, 3, stride=stride, groups=num_inputs)
    self.pointwise = conv(num_inputs, num_outputs, 1)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    return jax.nn.relu6(self.pointwise(jax.nn.relu6(self.depthwise(x_BHWC, key=key)), key=key))


class MobileNet(nnx.Module):
  """Parameters: stem/conv/kernel, stem/norm/scale, blocks/0/depthwise/conv/kernel, blocks/0/pointwise/conv/kernel, ...,
  head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    if len(inputs.shape) != 4:
      raise ConfigError(f"MobileNet needs images (B, H, W, C), not {inputs.shape}")
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    scaled = functools.partial(_scaled, config)
    conv = functools.partial(
        ConvNorm, padding="SAME", init=config.init, eps=config.norm_eps if config.batch_norm else None, decay=config.norm_decay,
        frozen=config.frozen_statistics, dtype=dtype, rngs=rngs)
    dim = scaled(32)
    self.stem = conv(inputs.shape[-1], dim, 3, stride=2)
    blocks = []
    for channels, stride in _BLOCKS:
      blocks.append(Block(dim, scaled(channels), stride, conv))
      dim = scaled(channels)
    self.blocks = nnx.List(blocks)
    self.head = Dense(dim, num_outputs, init=config.init, dtype=dtype, rngs=rngs)

  def maps(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, rows, columns, channels): what the last block gives."""
    return functools.reduce(lambda x, block: block(x, key=key), self.blocks, jax.nn.relu6(self.stem(x_BHWC, key=key)))

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, channels): the mean over all places, with dropout."""
    return dropout(global_average_pool(self.maps(x_BHWC, key=key)), self.config.dropout, key)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))


def _keras(config: Config) -> Table:
  layer = lambda theirs, ours, layout="same": [*keras_rows(theirs, f"{ours}/conv", layout, bias=False),
                                               *norm_rows(f"{theirs}_bn", f"{ours}/norm", "keras", batch=True)]
  rows = layer("conv1", "stem")
  for i in range(len(_BLOCKS)):
    rows += layer(f"conv_dw_{i + 1}", f"blocks/{i}/depthwise", "depthwise") + layer(f"conv_pw_{i + 1}", f"blocks/{i}/pointwise")
  num_features = _scaled(config, _BLOCKS[-1][0])
  rows += [Row("conv_preds/0", "head/kernel", shape=(1, 1, num_features, -1)), Row("conv_preds/1", "head/bias")]
  return Table(tuple(rows), KERAS_UNUSED)


def _numbered(config: Config) -> Table:
  """TensorFlow Lite's folded form: convolutions numbered in their order, kernels HWIO, the head a 1x1 convolution."""
  layers = ["stem", *(f"blocks/{i}/{part}" for i in range(len(_BLOCKS)) for part in ("depthwise", "pointwise"))]
  rows = [Row(f"layer{n:02d}/{word}", f"{layer}/conv/{word}") for n, layer in enumerate(layers) for word in ("kernel", "bias")]
  head, num_features = f"layer{len(layers):02d}", _scaled(config, _BLOCKS[-1][0])
  rows += [Row(f"{head}/kernel", "head/kernel", shape=(1, 1, num_features, -1)), Row(f"{head}/bias", "head/bias")]
  return Table(tuple(rows))
