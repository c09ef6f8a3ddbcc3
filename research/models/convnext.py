"""ConvNeXt (Liu et al. 2022).

Shapes: B examples, H height, W width, C channels.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn import layers
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import fold
from research.nn.initializers import parameter_dtype
from research.nn.layers import Remat
from research.nn.names import Row, Table, norm_rows, torch_rows
from research.nn.norms import LayerNorm
from research.nn.patches import PatchEmbedding, grid_of
from research.nn.transformer import MLPBlock

_EPS = 1e-6
_DEVIATION = 0.02  # of all initial weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A ConvNeXt.

  Attributes:
    depths: layers of each stage.
    dims: channels of each stage.
    layer_scale: what each branch's factors for its channels are at first; 0 leaves them out.
    stochastic_depth: rate of dropping a branch in the last layer; it grows linearly from 0 in the first.
    scan: the layers of a stage are stacked and run by one scan: quicker to compile, but slow on CPU.
    remat: what the backward pass computes again.
  """

  depths: tuple[int, ...] = (3, 3, 9, 3)
  dims: tuple[int, ...] = (96, 192, 384, 768)
  layer_scale: float = 1e-6
  stochastic_depth: float = 0.0
  scan: bool = False
  remat: Remat = "none"

  def __post_init__(self):
    if len(self.depths) != len(self.dims) or min((*self.depths, *self.dims), default=0) < 1:
      raise ConfigError(f"depths={self.depths}, dims={self.dims}: must be as many, and each at least 1")
    if not 0 <= self.stochastic_depth < 1:
      raise ConfigError(f"stochastic_depth={self.stochastic_depth}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "ConvNeXt":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: their sides are no multiples of 4·2^(stages − 1).
    """
    return ConvNeXt(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    return {"hf": _hugging_face(self), "timm": _timm(self)}


def convnext_t(**changes) -> Config:
  """ConvNeXt-T; with 1,000 classes 28,589,128 parameters."""
  return dataclasses.replace(Config(), **changes)


def convnext_s(**changes) -> Config:
  """ConvNeXt-S: 50,223,688 parameters."""
  return dataclasses.replace(Config(depths=(3, 3, 27, 3)), **changes)


def convnext_b(**changes) -> Config:
  """ConvNeXt-B: 88,591,464 parameters."""
  return dataclasses.replace(Config(depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024)), **changes)


def convnext_l(**changes) -> Config:
  """ConvNeXt-L: 197,767,336 parameters."""
  return dataclasses.replace(Config(depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536)), **changes)


class Layer(nnx.Module):
  """A residual branch: depthwise convolution, normalisation, two-layer network, a factor for each channel."""

  def __init__(self, dim: int, layer_scale: float, *, dtype, rngs: nnx.Rngs):
    # N(0, 1/fan_in) with the deviation that all weights have.
    self.depthwise = Conv(dim, dim, (7, 7), padding=3, groups=dim, init="lecun_normal", fan_in=round(_DEVIATION**-2),
                          dtype=dtype, rngs=rngs)
    self.norm = LayerNorm(dim, eps=_EPS, dtype=dtype)
    self.mlp = MLPBlock(dim, 4 * dim, init="normal", scale=_DEVIATION, dtype=dtype, rngs=rngs)
    self.layer_scale = nnx.Param(jnp.full(dim, layer_scale, dtype)) if layer_scale else None

  def __call__(self, x_BHWC: jax.Array, factors_1B: jax.Array | None = None, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, H, W, C)."""
    del key
    y_BHWC = self.mlp(self.norm(self.depthwise(x_BHWC)))
    if self.layer_scale is not None:
      y_BHWC = y_BHWC * self.layer_scale[...].astype(y_BHWC.dtype)
    return x_BHWC + (y_BHWC if factors_1B is None else layers.scaled(y_BHWC, factors_1B[0]))


class Downsampling(nnx.Module):
  """Normalisation, then a dense layer on patches of 2x2."""

  def __init__(self, num_inputs: int, dim: int, *, dtype, rngs: nnx.Rngs):
    self.norm = LayerNorm(num_inputs, eps=_EPS, dtype=dtype)
    self.patch_embedding = PatchEmbedding(num_inputs, dim, 2, init="normal", scale=_DEVIATION, dtype=dtype, rngs=rngs)

  def __call__(self, x_BHWC: jax.Array) -> jax.Array:
    return self.patch_embedding(self.norm(x_BHWC))


class ConvNeXt(nnx.Module):
  """Parameters: patch_embedding/kernel (4, 4, C, dims[0]), stem_norm/scale, stages/0/0/depthwise/kernel ...,
  downsamplings/0/norm/scale ..., norm/scale, head/kernel. With scan, stages/0/depthwise/kernel (depths[0], 7, 7, 1, ...)."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype, dims = config, parameter_dtype(inputs.dtype), config.dims
    grid_of(inputs, 4 * 2 ** (len(dims) - 1))
    self.patch_embedding = PatchEmbedding(inputs.shape[-1], dims[0], 4, init="normal", scale=_DEVIATION, dtype=dtype, rngs=rngs)
    self.stem_norm = LayerNorm(dims[0], eps=_EPS, dtype=dtype)
    stage = lambda dim, depth: layers.create(
        lambda rngs: Layer(dim, config.layer_scale, dtype=dtype, rngs=rngs), depth, stacked=config.scan, rngs=rngs)
    self.stages = nnx.List([stage(dim, depth) for dim, depth in zip(dims, config.depths)])
    self.downsamplings = nnx.List([Downsampling(n, m, dtype=dtype, rngs=rngs) for n, m in itertools.pairwise(dims)])
    self.norm = LayerNorm(dims[-1], eps=_EPS, dtype=dtype)
    self.head = Dense(dims[-1], num_outputs, init="normal", scale=_DEVIATION, dtype=dtype, rngs=rngs)

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, dims[-1]): the mean over all places, normalised."""
    config = self.config
    factors = layers.branch_factors(fold(key, 0), config.stochastic_depth, num_layers=sum(config.depths), num_branches=1,
                                    batch_size=x_BHWC.shape[0])
    x_BHWC = self.stem_norm(self.patch_embedding(x_BHWC))
    for i, (stage, depth) in enumerate(zip(self.stages, config.depths)):
      x_BHWC = self.downsamplings[i - 1](x_BHWC) if i else x_BHWC
      first = sum(config.depths[:i])
      each = tuple(rows[first:first + depth] for rows in factors)
      x_BHWC = layers.run(stage, x_BHWC, each=each, remat=config.remat)
    return self.norm(jnp.mean(x_BHWC, (1, 2)))

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))


def _hugging_face(config: Config) -> Table:
  rows = [*torch_rows("convnext.embeddings.patch_embeddings", "patch_embedding", "conv"),
          *norm_rows("convnext.embeddings.layernorm", "stem_norm", "torch")]
  for i, depth in enumerate(config.depths):
    stage = f"convnext.encoder.stages.{i}"
    rows += _downsampling(f"{stage}.downsampling_layer", i)
    for j in range(depth):
      rows += _layer(f"{stage}.layers.{j}", f"stages/{i}/{j}", config,
                     ("dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"))
  rows += norm_rows("convnext.layernorm", "norm", "torch")
  return Table((*rows, *torch_rows("classifier", "head", "linear")), prefix="convnext.")


def _timm(config: Config) -> Table:
  rows = [*torch_rows("stem.0", "patch_embedding", "conv"), *norm_rows("stem.1", "stem_norm", "torch")]
  for i, depth in enumerate(config.depths):
    rows += _downsampling(f"stages.{i}.downsample", i)
    for j in range(depth):
      rows += _layer(f"stages.{i}.blocks.{j}", f"stages/{i}/{j}", config, ("conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"))
  return Table((*rows, *norm_rows("head.norm", "norm", "torch"), *torch_rows("head.fc", "head", "linear")))


def _downsampling(theirs: str, stage: int) -> tuple[Row, ...]:
  ours = f"downsamplings/{stage - 1}"
  rows = (*norm_rows(f"{theirs}.0", f"{ours}/norm", "torch"), *torch_rows(f"{theirs}.1", f"{ours}/patch_embedding", "conv"))
  return rows if stage else ()


def _layer(theirs: str, ours: str, config: Config, words: tuple[str, ...]) -> tuple[Row, ...]:
  depthwise, norm, up, down, scale = (f"{theirs}.{word}" for word in words)
  rows = (*torch_rows(depthwise, f"{ours}/depthwise", "conv"), *norm_rows(norm, f"{ours}/norm", "torch"),
          *torch_rows(up, f"{ours}/mlp/up", "linear"), *torch_rows(down, f"{ours}/mlp/down", "linear"))
  return (*rows, Row(scale, f"{ours}/layer_scale")) if config.layer_scale else rows
