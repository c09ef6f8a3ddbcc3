"""The MLP-Mixer (Tolstikhin et al. 2021).

Shapes: B examples, H height, W width, C channels, T patches, D model.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn import layers
from research.nn.activations import Activation
from research.nn.dense import Dense
from research.nn.dropout import fold
from research.nn.initializers import parameter_dtype
from research.nn.layers import Remat
from research.nn.names import Table, flax_rows, norm_rows, torch_rows
from research.nn.norms import LayerNorm
from research.nn.patches import PatchEmbedding, grid_of
from research.nn.transformer import MLPBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """An MLP-Mixer for images of one size.

  Attributes:
    patch: side of a patch, in pixels.
    dim: width of the model.
    num_layers: layers.
    token_dim: width of the two-layer network over patches.
    channel_dim: width of the two-layer network over channels.
    activation: "gelu" is exact, as in timm; "gelu_tanh" its approximation, as in the paper's own code.
    stochastic_depth: rate of dropping a branch in the last layer; it grows linearly from 0 in the first.
    scan: layers are stacked and run by one scan.
    remat: what the backward pass computes again.
  """

  patch: int = 16
  dim: int = 512
  num_layers: int = 8
  token_dim: int = 256
  channel_dim: int = 2048
  activation: Activation = "gelu"
  stochastic_depth: float = 0.0
  scan: bool = True
  remat: Remat = "dots"

  def __post_init__(self):
    if min(self.patch, self.dim, self.num_layers, self.token_dim, self.channel_dim) < 1:
      raise ConfigError(f"patch={self.patch}, dim={self.dim}, num_layers={self.num_layers}, token_dim={self.token_dim}, "
                        f"channel_dim={self.channel_dim}: must be at least 1")
    if not 0 <= self.stochastic_depth < 1:
      raise ConfigError(f"stochastic_depth={self.stochastic_depth}: must be at least 0 and below 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Mixer":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: their sides are no multiples of `patch`.
    """
    return Mixer(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    return {"timm": _timm(self), "augreg": _flax(self, ""), "big_vision": _flax(self, "params/")}


def mixer_s(**changes) -> Config:
  """Mixer-S; at patch 16, 224 pixels and 1,000 classes 18,528,264 parameters."""
  return dataclasses.replace(Config(), **changes)


def mixer_b(**changes) -> Config:
  """Mixer-B: 59,880,472 parameters."""
  return dataclasses.replace(Config(dim=768, num_layers=12, token_dim=384, channel_dim=3072), **changes)


def mixer_l(**changes) -> Config:
  """Mixer-L: 208,196,168 parameters."""
  return dataclasses.replace(Config(dim=1024, num_layers=24, token_dim=512, channel_dim=4096), **changes)


class Layer(nnx.Module):
  """Two residual branches: a network over patches, the same for each channel, and one over channels."""

  def __init__(self, config: Config, num_patches: int, *, dtype, rngs: nnx.Rngs):
    self.token_norm, self.channel_norm = (LayerNorm(config.dim, eps=1e-6, dtype=dtype) for _ in range(2))
    self.token_mixing = MLPBlock(num_patches, config.token_dim, activation=config.activation, dtype=dtype, rngs=rngs)
    self.channel_mixing = MLPBlock(config.dim, config.channel_dim, activation=config.activation, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array, factors_2B: jax.Array | None = None, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, T, D)."""
    del key
    scale = (lambda y, _: y) if factors_2B is None else lambda y, i: layers.scaled(y, factors_2B[i])
    x_BTD = x_BTD + scale(self.token_mixing(self.token_norm(x_BTD).swapaxes(1, 2)).swapaxes(1, 2), 0)
    return x_BTD + scale(self.channel_mixing(self.channel_norm(x_BTD)), 1)


class Mixer(nnx.Module):
  """Parameters: patch_embedding/kernel (P, P, C, D), layers/token_mixing/up/kernel (num_layers, T, token_dim) ..., norm/scale,
  head/kernel. Without scan, layers/0/token_mixing/..."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    rows, columns = grid_of(inputs, config.patch)
    self.patch_embedding = PatchEmbedding(inputs.shape[-1], config.dim, config.patch, dtype=dtype, rngs=rngs)
    self.layers = layers.create(
        lambda rngs: Layer(config, rows * columns, dtype=dtype, rngs=rngs), config.num_layers, stacked=config.scan, rngs=rngs)
    self.norm = LayerNorm(config.dim, eps=1e-6, dtype=dtype)
    self.head = Dense(config.dim, num_outputs, init="zeros", dtype=dtype, rngs=rngs)

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, D): the mean over patches."""
    config = self.config
    x_BTD = self.patch_embedding(x_BHWC)
    x_BTD = x_BTD.reshape(x_BTD.shape[0], -1, config.dim)
    each = layers.branch_factors(fold(key, 0), config.stochastic_depth, num_layers=config.num_layers, num_branches=2,
                                 batch_size=x_BTD.shape[0])
    return jnp.mean(self.norm(layers.run(self.layers, x_BTD, each=each, remat=config.remat)), 1)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key))


def _timm(config: Config) -> Table:
  rows = [*torch_rows("stem.proj", "patch_embedding", "conv")]
  for i in range(config.num_layers):
    for k, (mlp, part) in enumerate((("mlp_tokens", "token"), ("mlp_channels", "channel")), 1):
      rows += norm_rows(f"blocks.{i}.norm{k}", f"layers/{i}/{part}_norm", "torch")
      rows += torch_rows(f"blocks.{i}.{mlp}.fc1", f"layers/{i}/{part}_mixing/up", "linear")
      rows += torch_rows(f"blocks.{i}.{mlp}.fc2", f"layers/{i}/{part}_mixing/down", "linear")
  return Table((*rows, *norm_rows("norm", "norm", "torch"), *torch_rows("head", "head", "linear")))


def _flax(config: Config, prefix: str) -> Table:
  """The names of the papers' own .npz files, whose networks have the approximate GELU."""
  rows = [*flax_rows(f"{prefix}stem", "patch_embedding")]
  for i in range(config.num_layers):
    for k, part in enumerate(("token", "channel")):
      block = f"{prefix}MixerBlock_{i}"
      rows += norm_rows(f"{block}/LayerNorm_{k}", f"layers/{i}/{part}_norm", "flax")
      rows += flax_rows(f"{block}/{part}_mixing/Dense_0", f"layers/{i}/{part}_mixing/up")
      rows += flax_rows(f"{block}/{part}_mixing/Dense_1", f"layers/{i}/{part}_mixing/down")
  rows += norm_rows(f"{prefix}pre_head_layer_norm", "norm", "flax")
  return Table((*rows, *flax_rows(f"{prefix}head", "head")), unused=(r"opt/.*",), prefix=prefix)
