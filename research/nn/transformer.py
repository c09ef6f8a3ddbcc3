"""The Transformer's layer: attention and a two-layer network, each a residual branch.

Shapes: B examples, T positions, D model, H heads.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS, Activation
from research.nn.attention import Attention
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold, stochastic_depth
from research.nn.initializers import Init
from research.nn.norms import Norm, make_norm


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockConfig:
  """One layer.

  Attributes:
    dim: width of the model.
    num_heads: attention heads.
    mlp_dim: width of the two-layer network; 0 leaves it out (attention only).
    activation: of the two-layer network.
    norm: layer or root-mean-square normalisation.
    norm_first: normalise a branch's input ("pre-norm"), not the sum after it ("post-norm").
    bias: whether dense layers have one.
    dropout: rate, on attention weights and on both branches.
    stochastic_depth: rate of dropping a branch for an example.
    init: initial weights.
    init_scale: a factor on them.
    out_scale: a further factor on the last weights of each branch; GPT-2 has 1/sqrt(2·layers).
  """

  dim: int = 128
  num_heads: int = 4
  mlp_dim: int = 512
  activation: Activation = "gelu"
  norm: Norm = "layer"
  norm_first: bool = True
  bias: bool = True
  dropout: float = 0.0
  stochastic_depth: float = 0.0
  init: Init = "lecun_normal"
  init_scale: float = 1.0
  out_scale: float = 1.0

  def __post_init__(self):
    if self.num_heads < 1 or self.dim % self.num_heads:
      raise ConfigError(f"dim={self.dim} must be a multiple of num_heads={self.num_heads}")
    for name in ("dropout", "stochastic_depth"):
      if not 0 <= getattr(self, name) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")


class MLPBlock(nnx.Module):
  """Dense, activation, dense."""

  def __init__(self, config: BlockConfig, *, dtype, rngs: nnx.Rngs):
    dense = lambda n, m, factor: Dense(
        n, m, bias=config.bias, init=config.init, scale=config.init_scale * factor, dtype=dtype, rngs=rngs)
    self.activation = config.activation
    self.up, self.down = dense(config.dim, config.mlp_dim, 1.0), dense(config.mlp_dim, config.dim, config.out_scale)

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    return self.down(ACTIVATIONS[self.activation](self.up(x_BTD)))


class Block(nnx.Module):
  """One layer."""

  def __init__(self, config: BlockConfig, *, dtype=jnp.float32, rngs: nnx.Rngs):
    self.config = config
    self.attention = Attention(
        config.dim, config.num_heads, bias=config.bias, dropout=config.dropout, init=config.init,
        scale=config.init_scale, out_scale=config.out_scale, dtype=dtype, rngs=rngs)
    self.attention_norm = make_norm(config.norm, config.dim, dtype=dtype)
    if config.mlp_dim:
      self.mlp = MLPBlock(config, dtype=dtype, rngs=rngs)
      self.mlp_norm = make_norm(config.norm, config.dim, dtype=dtype)

  def __call__(self, x_BTD: jax.Array, mask_BHTT: jax.Array | None = None, *,
               key: jax.Array | None = None) -> jax.Array:
    """Returns (B, T, D)."""
    attention = lambda x: self.attention(x, mask_BHTT, key=fold(key, 0))
    x_BTD = self._branch(x_BTD, attention, self.attention_norm, fold(key, 1))
    return self._branch(x_BTD, self.mlp, self.mlp_norm, fold(key, 2)) if self.config.mlp_dim else x_BTD

  def _branch(self, x, branch, norm, key):
    y = dropout(branch(norm(x) if self.config.norm_first else x), self.config.dropout, fold(key, 0))
    x = x + stochastic_depth(y, self.config.stochastic_depth, fold(key, 1))
    return x if self.config.norm_first else norm(x)
