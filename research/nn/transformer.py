"""The Transformer's layer: attention and a two-layer network, each a residual branch.

Shapes: B examples, T positions, D model, H heads.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS, Activation
from research.nn.attention import Attention, Implementation
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold, stochastic_depth
from research.nn.initializers import Init
from research.nn.layers import scaled
from research.nn.norms import Norm, make_norm
from research.nn.products import dense


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockConfig:
  """One layer.

  Attributes:
    dim: width of the model.
    num_heads: attention heads.
    mlp_dim: width of the two-layer network; 0 leaves it out (attention only).
    activation: of the two-layer network.
    norm: layer or root-mean-square normalisation.
    norm_eps: added to its variance; None for 1e-5 (layer) and 1e-6 (rms).
    norm_first: normalise a branch's input ("pre-norm"), not the sum after it ("post-norm").
    bias: whether dense layers have one.
    qkv_bias: whether, with bias, queries, keys and values have one, too.
    dropout: rate, on both branches.
    attention_dropout: rate, on attention weights; None for that of `dropout`.
    mlp_dropout: rate, inside the two-layer network.
    stochastic_depth: rate of dropping a branch for an example.
    implementation: of attention; "cudnn" is NVIDIA's fused kernel, for bfloat16 on its GPUs and without attention dropout.
    init: initial weights.
    init_scale: a factor on them.
    out_scale: a further factor on the last weights of each branch; GPT-2 has 1/sqrt(2·layers).
  """

  dim: int = 128
  num_heads: int = 4
  mlp_dim: int = 512
  activation: Activation = "gelu"
  norm: Norm = "layer"
  norm_eps: float | None = None
  norm_first: bool = True
  bias: bool = True
  qkv_bias: bool = True
  dropout: float = 0.0
  attention_dropout: float | None = None
  mlp_dropout: float = 0.0
  stochastic_depth: float = 0.0
  implementation: Implementation = "plain"
  init: Init = "lecun_normal"
  init_scale: float = 1.0
  out_scale: float = 1.0

  def __post_init__(self):
    if self.num_heads < 1 or self.dim % self.num_heads:
      raise ConfigError(f"dim={self.dim} must be a multiple of num_heads={self.num_heads}")
    for name in ("dropout", "attention_dropout", "mlp_dropout", "stochastic_depth"):
      if not 0 <= (getattr(self, name) or 0.0) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")
    if self.implementation == "cudnn" and self.weights_dropout:
      raise ConfigError("implementation=cudnn needs attention_dropout=0")

  @property
  def weights_dropout(self) -> float:
    return self.dropout if self.attention_dropout is None else self.attention_dropout


class MLPBlock(nnx.Module):
  """Dense, activation, dense."""

  def __init__(self, dim: int, mlp_dim: int, *, activation: Activation = "gelu", bias: bool = True, dropout: float = 0.0,
               init: Init = "lecun_normal", scale: float = 1.0, out_scale: float = 1.0, dtype, rngs: nnx.Rngs):
    layer = lambda n, m, factor: Dense(n, m, bias=bias, init=init, scale=factor, dtype=dtype, rngs=rngs)
    self.activation, self.dropout = activation, dropout
    self.up, self.down = layer(dim, mlp_dim, scale), layer(mlp_dim, dim, scale * out_scale)

  def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """x: (..., dim). Returns the same."""
    return dense(self.down, dropout(ACTIVATIONS[self.activation](dense(self.up, x)), self.dropout, key))


class Block(nnx.Module):
  """One layer."""

  def __init__(self, config: BlockConfig, *, dtype=jnp.float32, rngs: nnx.Rngs):
    self.config = config
    self.attention = Attention(
        config.dim, config.num_heads, bias=config.bias, qkv_bias=config.qkv_bias, dropout=config.weights_dropout,
        implementation=config.implementation, init=config.init, scale=config.init_scale, out_scale=config.out_scale,
        dtype=dtype, rngs=rngs)
    self.attention_norm = make_norm(config.norm, config.dim, eps=config.norm_eps, dtype=dtype)
    if config.mlp_dim:
      self.mlp = MLPBlock(
          config.dim, config.mlp_dim, activation=config.activation, bias=config.bias, dropout=config.mlp_dropout,
          init=config.init, scale=config.init_scale, out_scale=config.out_scale, dtype=dtype, rngs=rngs)
      self.mlp_norm = make_norm(config.norm, config.dim, eps=config.norm_eps, dtype=dtype)

  def __call__(self, x_BTD: jax.Array, mask_BHTT: jax.Array | None = None, factors_2B: jax.Array | None = None, *,
               key: jax.Array | None = None) -> jax.Array:
    """Returns (B, T, D). factors_2B: of each branch, if stochastic depth was drawn for all layers together."""
    attention = lambda x: self.attention(x, mask_BHTT, key=fold(key, 0))
    mlp = lambda x: self.mlp(x, key=fold(key, 3))
    first, second = (None, None) if factors_2B is None else factors_2B
    x_BTD = self._branch(x_BTD, attention, self.attention_norm, first, fold(key, 1))
    return self._branch(x_BTD, mlp, self.mlp_norm, second, fold(key, 2)) if self.config.mlp_dim else x_BTD

  def _branch(self, x, branch, norm, factor_B, key):
    y = dropout(branch(norm(x) if self.config.norm_first else x), self.config.dropout, fold(key, 0))
    y = stochastic_depth(y, self.config.stochastic_depth, fold(key, 1))
    x = x + (y if factor_B is None else scaled(y, factor_B))
    return x if self.config.norm_first else norm(x)
