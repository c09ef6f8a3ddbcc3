"""The Vision Transformer (Dosovitskiy et al. 2021), its plainer form (Beyer et al. 2022), and DeiT (Touvron et al. 2021).

Shapes: B examples, H height, W width, C channels, T tokens, D model.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.models import vit_names
from research.nn import layers
from research.nn.activations import Activation
from research.nn.attention import Attention, Implementation
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.initializers import initialize, parameter_dtype
from research.nn.layers import Remat
from research.nn.names import Table
from research.nn.norms import LayerNorm
from research.nn.patches import PatchEmbedding, grid_of, sincos_2d
from research.nn.transformer import NO_CONTEXT, Block, BlockConfig, MLPBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A Vision Transformer for images of one size.

  Attributes:
    patch: side of a patch, in pixels.
    dim: width of the model.
    num_layers: layers.
    num_heads: attention heads.
    mlp_dim: width of each layer's two-layer network.
    pool: what the head sees: the class token ("cls"), the mean over patches ("mean"), or an attention head over all ("map").
    position: learned vectors of the tokens, or fixed ones of the patches' rows and columns.
    class_token: put a learned token before the patches.
    distillation_token: put a second one after it, with a head of its own; the outputs are the mean of both heads (DeiT).
    representation_dim: width of a tanh layer before the head, which pretraining on ImageNet-21k had; 0 for none.
    activation: "gelu" is exact; "gelu_tanh" its approximation.
    norm_eps: added to the variance in layer normalisation; 1e-6 in Google's and timm's networks, 1e-12 in Hugging Face's.
    qkv_bias: whether queries, keys and values have a bias.
    dropout: rate, after the position embedding, on both branches and inside the two-layer networks.
    attention_dropout: rate, on attention weights.
    stochastic_depth: rate of dropping a branch in the last layer; it grows linearly from 0 in the first.
    implementation: of attention; "cudnn" is NVIDIA's fused kernel, for bfloat16 on its GPUs and without attention dropout.
    scan: layers are stacked and run by one scan: quick to compile, and no slower.
    remat: what the backward pass computes again.
  """

  patch: int = 16
  dim: int = 384
  num_layers: int = 12
  num_heads: int = 6
  mlp_dim: int = 1536
  pool: Literal["cls", "mean", "map"] = "cls"
  position: Literal["learned", "sincos2d"] = "learned"
  class_token: bool = True
  distillation_token: bool = False
  representation_dim: int = 0
  activation: Activation = "gelu"
  norm_eps: float = 1e-6
  qkv_bias: bool = True
  dropout: float = 0.0
  attention_dropout: float = 0.0
  stochastic_depth: float = 0.0
  implementation: Implementation = "plain"
  scan: bool = True
  remat: Remat = "dots"

  def __post_init__(self):
    if min(self.patch, self.num_layers, self.mlp_dim) < 1:
      raise ConfigError(f"patch={self.patch}, num_layers={self.num_layers}, mlp_dim={self.mlp_dim}: must be at least 1")
    if not self.class_token and (self.pool == "cls" or self.distillation_token):
      raise ConfigError("pool=cls and distillation_token need class_token")
    if self.distillation_token and (self.pool != "cls" or self.representation_dim):
      raise ConfigError("distillation_token needs pool=cls and representation_dim=0")
    if self.position == "sincos2d" and (self.dim % 4 or self.dim < 8):
      raise ConfigError(f"dim={self.dim}: must be a multiple of 4 and at least 8 for position=sincos2d")
    if not 0 <= self.stochastic_depth < 1:
      raise ConfigError(f"stochastic_depth={self.stochastic_depth}: must be at least 0 and below 1")
    _ = self.block  # checks what is left

  @property
  def block(self) -> BlockConfig:
    return BlockConfig(
        dim=self.dim, num_heads=self.num_heads, mlp_dim=self.mlp_dim, activation=self.activation, norm_eps=self.norm_eps,
        qkv_bias=self.qkv_bias, dropout=self.dropout, attention_dropout=self.attention_dropout, mlp_dropout=self.dropout,
        implementation=self.implementation, init="glorot_uniform")

  @property
  def num_prefix(self) -> int:
    """Tokens before the patches."""
    return self.class_token + self.distillation_token

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "ViT":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: their sides are no multiples of `patch`.
    """
    return ViT(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """The names that files of others give the parameters."""
    return vit_names.tables(self)


def vit_ti(**changes) -> Config:
  """ViT-Ti; at patch 16, 224 pixels and 1,000 classes 5,717,416 parameters."""
  return dataclasses.replace(Config(dim=192, num_heads=3, mlp_dim=768), **changes)


def vit_s(**changes) -> Config:
  """ViT-S: 22,050,664 parameters."""
  return dataclasses.replace(Config(), **changes)


def vit_b(**changes) -> Config:
  """ViT-B: 86,567,656 parameters."""
  return dataclasses.replace(Config(dim=768, num_heads=12, mlp_dim=3072), **changes)


def vit_l(**changes) -> Config:
  """ViT-L: 304,326,632 parameters."""
  return dataclasses.replace(Config(dim=1024, num_layers=24, num_heads=16, mlp_dim=4096), **changes)


# The "better plain ViT" of Beyer et al. 2022: vit_s(**PLAIN).
PLAIN = {"pool": "mean", "position": "sincos2d", "class_token": False}


class MapPool(nnx.Module):
  """One learned query attends to all tokens, then a two-layer network: big_vision's "map" (Zhai et al. 2022)."""

  def __init__(self, config: Config, *, dtype, rngs: nnx.Rngs):
    dim = config.dim
    self.probe = nnx.Param(initialize("glorot_uniform", rngs.params(), (dim,), dtype, fan_in=1, fan_out=dim))
    self.attention = Attention(dim, config.num_heads, implementation=config.implementation, init="glorot_uniform", dtype=dtype,
                               rngs=rngs)
    self.norm = LayerNorm(dim, eps=config.norm_eps, dtype=dtype)
    self.mlp = MLPBlock(dim, config.mlp_dim, activation=config.activation, init="glorot_uniform", dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """Returns (B, D)."""
    probe_B1D = jnp.broadcast_to(self.probe[...].astype(x_BTD.dtype), (x_BTD.shape[0], 1, x_BTD.shape[2]))
    y_B1D = self.attention(probe_B1D, memory_BSD=x_BTD)
    return (y_B1D + self.mlp(self.norm(y_B1D)))[:, 0]


class ViT(nnx.Module):
  """Parameters: patch_embedding/kernel (P, P, C, D), class_token, position_embedding (T, D), layers/attention/query/kernel
  (num_layers, D, D) ..., norm/scale, head/kernel. Without scan, layers/0/attention/..."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype, dim = config, parameter_dtype(inputs.dtype), config.dim
    self.grid = grid_of(inputs, config.patch)
    self.patch_embedding = PatchEmbedding(inputs.shape[-1], dim, config.patch, dtype=dtype, rngs=rngs)
    if config.class_token:
      self.class_token = nnx.Param(jnp.zeros(dim, dtype))
    if config.distillation_token:
      self.distillation_token = nnx.Param(jnp.zeros(dim, dtype))
    if config.position == "learned":
      shape = (config.num_prefix + self.grid[0] * self.grid[1], dim)
      self.position_embedding = nnx.Param(initialize(
          "normal", rngs.params(), shape, dtype, fan_in=dim, fan_out=dim, scale=0.02))
    self.layers = layers.create(
        lambda rngs: Block(config.block, dtype=dtype, rngs=rngs), config.num_layers, stacked=config.scan, rngs=rngs)
    self.norm = LayerNorm(dim, eps=config.norm_eps, dtype=dtype)
    if config.pool == "map":
      self.map_pool = MapPool(config, dtype=dtype, rngs=rngs)
    if config.representation_dim:
      self.representation = Dense(dim, config.representation_dim, dtype=dtype, rngs=rngs)
    head = lambda: Dense(config.representation_dim or dim, num_outputs, init="zeros", dtype=dtype, rngs=rngs)
    self.head = head()
    if config.distillation_token:
      self.distillation_head = head()

  def tokens(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, T, D): the last layer's output, normalised; num_prefix tokens, then the patches row by row."""
    config = self.config
    x_BTD = self.patch_embedding(x_BHWC)
    x_BTD = x_BTD.reshape(x_BTD.shape[0], -1, config.dim)
    if config.position == "sincos2d":
      x_BTD = x_BTD + sincos_2d(self.grid, config.dim).astype(x_BTD.dtype)
    prefix = [self.class_token] if config.class_token else []
    prefix += [self.distillation_token] if config.distillation_token else []
    first = [jnp.broadcast_to(token[...].astype(x_BTD.dtype), (x_BTD.shape[0], 1, config.dim)) for token in prefix]
    x_BTD = jnp.concatenate([*first, x_BTD], 1)
    if config.position == "learned":
      x_BTD = x_BTD + self.position_embedding[...].astype(x_BTD.dtype)
    x_BTD = dropout(x_BTD, config.dropout, fold(key, 0))
    each = layers.branch_factors(fold(key, 2), config.stochastic_depth, num_layers=config.num_layers, num_branches=2,
                                 batch_size=x_BTD.shape[0])
    return self.norm(layers.run(self.layers, x_BTD, NO_CONTEXT, each=each, key=fold(key, 1), remat=config.remat))

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, D): what the head sees. With a distillation token, the mean of the two tokens, each of which has its head."""
    return jnp.mean(self._pooled(x_BHWC, key), 1) if self.config.distillation_token else self._pooled(x_BHWC, key)

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    pooled = self._pooled(x_BHWC, key)
    if self.config.distillation_token:
      return (self.head(pooled[:, 0]) + self.distillation_head(pooled[:, 1])) / 2
    return self.head(pooled)

  def _pooled(self, x_BHWC, key):
    config, x_BTD = self.config, self.tokens(x_BHWC, key=key)
    if config.distillation_token:
      return x_BTD[:, :2]
    match config.pool:
      case "cls":
        y_BD = x_BTD[:, 0]
      case "mean":
        y_BD = jnp.mean(x_BTD[:, config.num_prefix:], 1)
      case "map":
        y_BD = self.map_pool(x_BTD)
    return jnp.tanh(self.representation(y_BD)) if config.representation_dim else y_BD
