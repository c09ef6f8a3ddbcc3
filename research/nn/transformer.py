"""The Transformer's layer: attention, attention to a memory if there is one, a two-layer network, each a residual branch.

Shapes: B examples, T positions, S positions of a memory or a cache, D model, H heads.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS, Activation
from research.nn.attention import Attention, Implementation, KeysValues
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold, stochastic_depth
from research.nn.initializers import Init
from research.nn.layers import scaled
from research.nn.norms import Norm, make_norm
from research.nn.products import dense
from research.nn.rotary import Rotary


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockConfig:
  """One layer.

  Attributes:
    dim: width of the model.
    num_heads: attention heads.
    num_kv_heads: heads of keys and values (grouped queries); None for as many.
    head_dim: size of a head; None for dim / num_heads.
    mlp_dim: width of the two-layer network; 0 leaves it out (attention only).
    gated: the two-layer network's activation is multiplied by a second projection (Shazeer 2020: SwiGLU, GEGLU).
    cross: whether the layer attends to a memory, too.
    activation: of the two-layer network.
    rotary: turns queries and keys by their position.
    attention_scale: of the scores; None for 1/√head_dim.
    qk_norm: whether queries and keys are normalised.
    norm: layer or root-mean-square normalisation.
    norm_eps: added to its variance; None for 1e-5 (layer) and 1e-6 (rms).
    norm_first: normalise a branch's input ("pre-norm"), not the sum after it ("post-norm").
    bias: whether dense layers have one.
    qkv_bias: whether queries, keys and values have one; None for as the others.
    key_bias: whether keys have one; None for as queries and values.
    dropout: rate, on all branches.
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
  num_kv_heads: int | None = None
  head_dim: int | None = None
  mlp_dim: int = 512
  gated: bool = False
  cross: bool = False
  activation: Activation = "gelu"
  rotary: Rotary | None = None
  attention_scale: float | None = None
  qk_norm: bool = False
  norm: Norm = "layer"
  norm_eps: float | None = None
  norm_first: bool = True
  bias: bool = True
  qkv_bias: bool | None = None
  key_bias: bool | None = None
  dropout: float = 0.0
  attention_dropout: float | None = None
  mlp_dropout: float = 0.0
  stochastic_depth: float = 0.0
  implementation: Implementation = "plain"
  init: Init = "lecun_normal"
  init_scale: float = 1.0
  out_scale: float = 1.0

  def __post_init__(self):
    if self.num_heads < 1 or (self.head_dim is None and self.dim % self.num_heads):
      raise ConfigError(f"dim={self.dim} must be a multiple of num_heads={self.num_heads}")
    if self.num_kv_heads is not None and (self.num_kv_heads < 1 or self.num_heads % self.num_kv_heads):
      raise ConfigError(f"num_heads={self.num_heads} must be a multiple of num_kv_heads={self.num_kv_heads}")
    if self.rotary is not None and self.size % 2:
      raise ConfigError(f"rotary needs heads of an even size, not {self.size}")
    for name in ("dropout", "attention_dropout", "mlp_dropout", "stochastic_depth"):
      if not 0 <= (getattr(self, name) or 0.0) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")
    if self.implementation == "cudnn" and self.weights_dropout:
      raise ConfigError("implementation=cudnn needs attention_dropout=0")

  @property
  def size(self) -> int:
    """Of a head."""
    return self.head_dim or self.dim // self.num_heads

  @property
  def weights_dropout(self) -> float:
    return self.dropout if self.attention_dropout is None else self.attention_dropout


class Context(NamedTuple):
  """What all layers see.

  Attributes:
    mask: (B, 1, T, S), True where a position may look.
    bias: (1, H, T, S), added to the scores of self-attention.
    positions: (T,) or (B, T), for rotary positions; None for 0, 1, ...
    memory: (B, S, D), what is attended to beside.
    memory_mask: (B, 1, 1, S), True where the memory is no padding.
  """

  mask: jax.Array | None = None
  bias: jax.Array | None = None
  positions: jax.Array | None = None
  memory: jax.Array | None = None
  memory_mask: jax.Array | None = None


NO_CONTEXT = Context()


class MLPBlock(nnx.Module):
  """Dense, activation, dense; gated: the activation of one dense layer times another."""

  def __init__(self, dim: int, mlp_dim: int, *, activation: Activation = "gelu", gated: bool = False, bias: bool = True,
               dropout: float = 0.0, init: Init = "lecun_normal", scale: float = 1.0, out_scale: float = 1.0, dtype,
               rngs: nnx.Rngs):
    layer = lambda n, m, factor: Dense(n, m, bias=bias, init=init, scale=factor, dtype=dtype, rngs=rngs)
    self.activation, self.dropout = activation, dropout
    self.up, self.down = layer(dim, mlp_dim, scale), layer(mlp_dim, dim, scale * out_scale)
    self.gate = layer(dim, mlp_dim, scale) if gated else None

  def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """x: (..., dim). Returns the same."""
    act = ACTIVATIONS[self.activation]
    y = act(dense(self.up, x)) if self.gate is None else act(dense(self.gate, x)) * dense(self.up, x)
    return dense(self.down, dropout(y, self.dropout, key))


class Block(nnx.Module):
  """One layer."""

  def __init__(self, config: BlockConfig, *, dtype=jnp.float32, rngs: nnx.Rngs):
    self.config = config
    attention = lambda **own: Attention(
        config.dim, config.num_heads, num_kv_heads=config.num_kv_heads, head_dim=config.head_dim, bias=config.bias,
        qkv_bias=config.qkv_bias, key_bias=config.key_bias, scale=config.attention_scale, dropout=config.weights_dropout,
        implementation=config.implementation, init=config.init, init_scale=config.init_scale, out_scale=config.out_scale,
        dtype=dtype, rngs=rngs, **own)
    norm = lambda: make_norm(config.norm, config.dim, eps=config.norm_eps, dtype=dtype)
    self.attention = attention(rotary=config.rotary, qk_norm=(config.norm_eps or 1e-6) if config.qk_norm else None)
    self.attention_norm = norm()
    if config.cross:
      self.cross, self.cross_norm = attention(), norm()
    if config.mlp_dim:
      self.mlp = MLPBlock(
          config.dim, config.mlp_dim, activation=config.activation, gated=config.gated, bias=config.bias,
          dropout=config.mlp_dropout, init=config.init, scale=config.init_scale, out_scale=config.out_scale, dtype=dtype,
          rngs=rngs)
      self.mlp_norm = norm()

  def __call__(self, x_BTD: jax.Array, context: Context = NO_CONTEXT, factors_2B: jax.Array | None = None, *,
               key: jax.Array | None = None) -> jax.Array:
    """Returns (B, T, D). factors_2B: of each branch, if stochastic depth was drawn for all layers together."""
    attention = lambda x: self.attention(x, context.mask, bias_BHTS=context.bias, positions=context.positions, key=fold(key, 0))
    cross = lambda x: self.cross(x, context.memory_mask, memory_BSD=context.memory, key=fold(key, 4))
    return self._branches(x_BTD, attention, cross, factors_2B, key)

  def decode(self, x_RTD: jax.Array, context: Context, cache: KeysValues, slot: jax.Array,
             memory: KeysValues | None) -> tuple[jax.Array, KeysValues]:
    """The same for the T newest positions of texts whose earlier ones are in the cache.

    Args:
      x_RTD: the new positions of R = B·N rows, N a sentence.
      context: its mask is (R, 1, T, S·N), over all slots of a sentence; without memory.
      cache: (B, G, S·N, K) each: of every sentence, slot after slot, what its N rows have there.
      slot: where the first new position belongs.
      memory: of this layer, as its `cross` made them; of B sentences.

    Returns:
      (R, T, D), and the cache with the new positions.
    """
    written = cache

    def attention(x):
      nonlocal written
      new = self.attention.keys_values(x, context.positions)
      written = KeysValues(*(_write(old, y, slot) for old, y in zip(cache, new)))
      return self.attention.answer(x, written, context.mask, bias_BHTS=context.bias, positions=context.positions)

    def cross(x):
      assert memory is not None
      return self.cross.answer(x, memory, context.memory_mask)

    return self._branches(x_RTD, attention, cross, None, None), written

  def _branches(self, x, attention, cross, factors_2B, key):
    first, second = (None, None) if factors_2B is None else factors_2B
    x = self._branch(x, attention, self.attention_norm, first, fold(key, 1))
    if self.config.cross:
      x = self._branch(x, cross, self.cross_norm, None, fold(key, 5))
    if self.config.mlp_dim:
      x = self._branch(x, lambda x: self.mlp(x, key=fold(key, 3)), self.mlp_norm, second, fold(key, 2))
    return x

  def _branch(self, x, branch, norm, factor_B, key):
    y = dropout(branch(norm(x) if self.config.norm_first else x), self.config.dropout, fold(key, 0))
    y = stochastic_depth(y, self.config.stochastic_depth, fold(key, 1))
    x = x + (y if factor_B is None else scaled(y, factor_B))
    return x if self.config.norm_first else norm(x)


def _write(cache, new_RGTK, slot):
  """The cache (B, G, S·N, K) with the T new positions of its R = B·N rows. Kept in this one shape a loop writes it in place."""
  new_BGTNK = jnp.moveaxis(new_RGTK.reshape(cache.shape[0], -1, *new_RGTK.shape[1:]), 1, 3)
  new = new_BGTNK.reshape(*cache.shape[:2], -1, cache.shape[3]).astype(cache.dtype)
  return jax.lax.dynamic_update_slice(cache, new, (0, 0, slot * new_BGTNK.shape[3], 0))
