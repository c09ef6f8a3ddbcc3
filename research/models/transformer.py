"""A small Transformer: encoder or decoder, over tokens or vectors, for one answer or one at each position.

Shapes: B examples, T positions, D model.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn import layers
from research.nn.attention import causal_mask, segment_mask
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.embedding import Embedding, positions_in_segments, sinusoids
from research.nn.initializers import parameter_dtype
from research.nn.layers import Remat
from research.nn.norms import make_norm
from research.nn.transformer import Block, BlockConfig, Context


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A Transformer.

  Attributes:
    num_layers: layers.
    block: what a layer is.
    causal: a position sees none that come later (decoder), or all (encoder).
    positions: vectors learned or sinusoidal, or none.
    max_length: longest input that learned positions are for.
    vocab_size: tokens of the input; None for as many as there are outputs (next-token prediction).
    tied: the output layer is the transposed embedding.
    pool: "none" gives outputs at each position; "mean" and "last" one for the example, from its real positions.
    scan: layers are stacked and run by one scan: quick to compile at any depth.
    remat: what the backward pass computes again.
  """

  num_layers: int = 2
  block: BlockConfig = BlockConfig()
  causal: bool = True
  positions: Literal["learned", "sinusoidal", "none"] = "learned"
  max_length: int = 1024
  vocab_size: int | None = None
  tied: bool = False
  pool: Literal["none", "mean", "last"] = "none"
  scan: bool = False
  remat: Remat = "none"

  def __post_init__(self):
    if self.num_layers < 1:
      raise ConfigError(f"num_layers={self.num_layers}: must be at least 1")
    if self.positions == "sinusoidal" and self.block.dim % 2:
      raise ConfigError(f"block.dim={self.block.dim}: must be even for sinusoidal positions")
    if self.tied and self.pool != "none":
      raise ConfigError(f"pool={self.pool}: a tied output layer predicts tokens, at each position")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Transformer":
    """The network for tokens (B, T), integers, or vectors (B, T, D).

    Raises:
      ConfigError: inputs longer than max_length; tied, but on vectors, or with another size than the vocabulary's.
    """
    return Transformer(self, inputs, num_outputs, rngs)


class Transformer(nnx.Module):
  """Parameters: embedding/..., blocks/0/attention/query/kernel ... (blocks/attention/... with scan), head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    self.config = config
    block, dtype = config.block, parameter_dtype(inputs.dtype)
    dense = lambda n, m: Dense(n, m, bias=block.bias, init=block.init, scale=block.init_scale, dtype=dtype, rngs=rngs)
    tokens = jnp.issubdtype(inputs.dtype, jnp.integer)
    if config.tied and (not tokens or config.vocab_size not in (None, num_outputs)):
      raise ConfigError(f"tied: needs tokens, and vocab_size={config.vocab_size} must be {num_outputs} or None")
    if config.positions == "learned" and inputs.shape[1] > config.max_length:
      raise ConfigError(f"max_length={config.max_length}: inputs have {inputs.shape[1]} positions")
    if tokens:
      vocab_size = num_outputs if config.vocab_size is None else config.vocab_size
      self.embedding = Embedding(vocab_size, block.dim, dtype=dtype, rngs=rngs)
    else:
      self.embedding = dense(inputs.shape[-1], block.dim)
    if config.positions == "learned":
      self.position_embedding = Embedding(config.max_length, block.dim, dtype=dtype, rngs=rngs)
    self.blocks = layers.create(
        lambda rngs: Block(block, dtype=dtype, rngs=rngs), config.num_layers, stacked=config.scan, rngs=rngs)
    if block.norm_first:
      self.norm = make_norm(block.norm, block.dim, dtype=dtype)
    if not config.tied:
      self.head = dense(block.dim, num_outputs)

  def __call__(self, x: jax.Array, *, segments_BT: jax.Array | None = None, key: jax.Array | None = None) -> jax.Array:
    """Runs the network.

    Args:
      x: (B, T) integers or (B, T, D).
      segments_BT: 0 for padding, else the number of the packed sequence a position belongs to; a mask of 0 and 1 where
        nothing is packed. Positions are counted from the start of each.
      key: in training.

    Returns:
      (B, T, num_outputs), or (B, num_outputs) if pooled.
    """
    config = self.config
    x_BTD = self.embedding(x)
    x_BTD = self._add_positions(x_BTD, segments_BT)
    x_BTD = dropout(x_BTD, config.block.dropout, fold(key, 0))
    context = Context(mask=self._mask(x.shape[1], segments_BT))
    x_BTD = layers.run(self.blocks, x_BTD, context, key=fold(key, 1), remat=config.remat)
    if config.block.norm_first:
      x_BTD = self.norm(x_BTD)
    if config.pool != "none":
      x_BTD = _pool(x_BTD, segments_BT, config.pool)
    if not config.tied:
      return self.head(x_BTD)
    assert isinstance(self.embedding, Embedding)
    return self.embedding.logits(x_BTD)

  def _add_positions(self, x_BTD, segments_BT):
    if self.config.positions == "none":
      return x_BTD
    positions = jnp.arange(x_BTD.shape[1]) if segments_BT is None else positions_in_segments(segments_BT)
    if self.config.positions == "learned":
      return x_BTD + self.position_embedding(positions).astype(x_BTD.dtype)
    return x_BTD + sinusoids(positions, x_BTD.shape[-1]).astype(x_BTD.dtype)

  def _mask(self, length, segments_BT):
    masks = [causal_mask(length)] if self.config.causal else []
    masks += [segment_mask(segments_BT)] if segments_BT is not None else []
    return masks[0] & masks[-1] if masks else None


def _pool(x_BTD, segments_BT, pool):
  real_BT = jnp.ones(x_BTD.shape[:2], bool) if segments_BT is None else segments_BT != 0
  if pool == "last":
    last_B = jnp.max(jnp.where(real_BT, jnp.arange(x_BTD.shape[1]), 0), axis=1)
    return jnp.take_along_axis(x_BTD, last_B[:, None, None], axis=1)[:, 0]
  weights_BT = real_BT.astype(jnp.promote_types(x_BTD.dtype, jnp.float32))
  mean_BD = jnp.einsum("btd,bt->bd", x_BTD, weights_BT) / jnp.maximum(weights_BT.sum(1), 1)[:, None]
  return mean_BD.astype(x_BTD.dtype)
