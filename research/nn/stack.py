"""A stack of Transformer layers: an encoder or a decoder without its embeddings.

Shapes: B examples, T positions, S positions of a memory or a cache, D model.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.nn import layers
from research.nn.attention import KeysValues, causal_mask, segment_mask
from research.nn.dropout import dropout, fold
from research.nn.layers import Remat
from research.nn.norms import make_norm
from research.nn.relative import Relative, RelativeBias
from research.nn.transformer import Block, BlockConfig, Context

_LARGEST_COPY = 2**30  # bytes of layers that decoding holds one by one, besides the stack


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackConfig:
  """A stack.

  Attributes:
    num_layers: layers.
    block: what a layer is.
    causal: a position sees none that come later.
    norm_last: whether the last layer's output is normalised.
    dropout_last: rate, on what the stack gives.
    relative: T5's relative positions.
    scan: layers are stacked and run by one scan: quick to compile at any depth.
    remat: what the backward pass computes again.
  """

  num_layers: int
  block: BlockConfig
  causal: bool
  norm_last: bool = True
  dropout_last: float = 0.0
  relative: Relative | None = None
  scan: bool = True
  remat: Remat = "none"

  def __post_init__(self):
    if self.num_layers < 1:
      raise ConfigError(f"num_layers={self.num_layers}: must be at least 1")


class Stack(nnx.Module):
  """Parameters: layers/attention/query/kernel (num_layers, D, D) ..., norm/scale, relative/table/embedding."""

  def __init__(self, config: StackConfig, *, dtype, rngs: nnx.Rngs):
    self.config = config
    block = config.block
    self.layers = layers.create(lambda rngs: Block(block, dtype=dtype, rngs=rngs), config.num_layers, stacked=config.scan,
                                rngs=rngs)
    if config.norm_last:
      self.norm = make_norm(block.norm, block.dim, eps=block.norm_eps, dtype=dtype)
    if config.relative is not None:
      self.relative = RelativeBias(config.relative, block.num_heads, causal=config.causal, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array, *, segments_BT: jax.Array | None = None, positions: jax.Array | None = None,
               memory_BSD: jax.Array | None = None, memory_mask_BS: jax.Array | None = None,
               key: jax.Array | None = None) -> jax.Array:
    """Runs all layers.

    Args:
      x_BTD: embedded inputs.
      segments_BT: 0 for padding, else the number of the packed text a position belongs to.
      positions: (T,) or (B, T), for rotary positions; None for 0, 1, ...
      memory_BSD: what is attended to beside.
      memory_mask_BS: True where it is no padding.
      key: in training.
    """
    masks = [causal_mask(x_BTD.shape[1])] if self.config.causal else []
    masks += [segment_mask(segments_BT)] if segments_BT is not None else []
    line = jnp.arange(x_BTD.shape[1])
    context = Context(
        mask=masks[0] & masks[-1] if masks else None, positions=positions, memory=memory_BSD,
        bias=None if self.config.relative is None else self.relative(line, line),
        memory_mask=None if memory_mask_BS is None else memory_mask_BS[:, None, None])
    x_BTD = self._last(layers.run(self.layers, x_BTD, context, key=key, remat=self.config.remat))
    return dropout(x_BTD, self.config.dropout_last, fold(key, self.config.num_layers))

  def _last(self, x_BTD):
    return self.norm(x_BTD) if self.config.norm_last else x_BTD

  # --- decoding: layer after layer, each with a cache of its own, so that a step writes into it in place ------------------

  def start(self, num_rows: int, num_slots: int, dtype, memory_BSD: jax.Array | None = None,
            memory_mask_BS: jax.Array | None = None) -> "DecodingState":
    """The state before the first token of `num_rows` sentences of at most `num_slots` tokens."""
    block = self.config.block
    empty = jnp.zeros((num_rows, block.num_kv_heads or block.num_heads, num_slots, block.size), dtype)
    none = jnp.zeros(num_rows, jnp.int32)
    memories = () if memory_BSD is None else tuple(
        layer.cross.keys_values(memory_BSD) for layer in layers.each(self.layers))
    states = jax.tree.leaves(nnx.state(self.layers))
    few = sum(x.size * x.dtype.itemsize for x in states) <= _LARGEST_COPY
    return DecodingState(
        caches=(KeysValues(empty, empty),) * self.config.num_layers, slot=jnp.int32(0), first_B=none,
        ancestors_RS=jnp.zeros((num_rows, num_slots), jnp.int32), memories=memories, memory_mask_BS=memory_mask_BS,
        layers=tuple(nnx.state(layer) for layer in layers.each(self.layers)) if few and self.config.scan else ())

  def decode(self, x_RTD: jax.Array, state: "DecodingState") -> tuple[jax.Array, "DecodingState"]:
    """Runs the T newest positions of each row. Returns (R, T, D) and the state after them."""
    num_rows, length = x_RTD.shape[:2]
    num_beams, num_slots = state.num_beams, state.ancestors_RS.shape[1]
    own_R1 = (jnp.arange(num_rows) % num_beams)[:, None]
    ancestors_RS = jax.lax.dynamic_update_slice(
        state.ancestors_RS, jnp.broadcast_to(own_R1, (num_rows, length)), (0, state.slot))
    keys_S, queries_T = jnp.arange(num_slots), state.slot + jnp.arange(length)
    first_R = jnp.repeat(state.first_B, num_beams)
    seen_RTS = (keys_S <= queries_T[:, None]) & (keys_S >= first_R[:, None, None])
    mine_RSN = ancestors_RS[..., None] == jnp.arange(num_beams)
    mask_RTSN = seen_RTS[..., None] & mine_RSN[:, None]
    context = Context(
        mask=mask_RTSN.reshape(num_rows, 1, length, -1), positions=state.positions(length),
        bias=None if self.config.relative is None else self.relative(queries_T, jnp.repeat(keys_S, num_beams)),
        memory_mask=None if state.memory_mask_BS is None else state.memory_mask_BS[:, None, None])
    caches = []
    for i, layer in enumerate(layers.each(self.layers, state.layers)):
      x_RTD, cache = layer.decode(x_RTD, context, state.caches[i], state.slot, state.memories[i] if state.memories else None)
      caches.append(cache)
    state = dataclasses.replace(state, caches=tuple(caches), slot=state.slot + length, ancestors_RS=ancestors_RS)
    return self._last(x_RTD), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DecodingState:
  """What has been decoded: R = B·N rows, N hypotheses of each of B sentences, row b·N + n.

  A hypothesis that continues another does not copy its keys and values: it notes in which row's slots they are.

  Attributes:
    caches: of each layer, (B, G, S·N, K): slot after slot, what the N rows of a sentence have there.
    slot: the next one; the same for all rows.
    first_B: of each sentence, the first slot that is no padding.
    ancestors_RS: of each row, which of its sentence's N rows holds what it sees in a slot.
    memories: of each layer, the keys and values of what is attended to beside, of B sentences.
    memory_mask_BS: True where that is no padding.
    layers: parameters of stacked layers one by one, as to take one of them out is a copy, which a loop would make for every
      token; () where they are not stacked, or larger than a copy should be.
  """

  caches: tuple[KeysValues, ...]
  slot: jax.Array
  first_B: jax.Array
  ancestors_RS: jax.Array
  memories: tuple[KeysValues, ...]
  memory_mask_BS: jax.Array | None
  layers: tuple[nnx.State, ...] = ()

  @property
  def num_beams(self) -> int:
    """N."""
    return self.caches[0].keys.shape[2] // self.ancestors_RS.shape[1]

  def positions(self, length: int) -> jax.Array:
    """(R, T) of the next `length` tokens of each row; 0 in padding."""
    first_R = jnp.repeat(self.first_B, self.num_beams)
    return jnp.maximum(self.slot + jnp.arange(length) - first_R[:, None], 0)

  def aligned(self, tokens_BT: jax.Array, lengths_B: jax.Array | None) -> tuple[jax.Array, "DecodingState"]:
    """Prompts that end together, and the state before them: padding on their right is moved to their left."""
    if lengths_B is None:
      return tokens_BT, self
    first_B = tokens_BT.shape[1] - lengths_B
    source_BT = (jnp.arange(tokens_BT.shape[1]) - first_B[:, None]) % tokens_BT.shape[1]
    return jnp.take_along_axis(tokens_BT, source_BT, 1), dataclasses.replace(self, first_B=first_B.astype(jnp.int32))

  def expand(self, num_beams: int) -> "DecodingState":
    """The same for `num_beams` rows a sentence; those that there are keep what they have."""
    def wide(x):
      by_slots = x.reshape(*x.shape[:2], -1, self.num_beams, x.shape[3])
      more = jnp.pad(by_slots, ((0, 0), (0, 0), (0, 0), (0, num_beams - self.num_beams), (0, 0)))
      return more.reshape(*x.shape[:2], -1, x.shape[3])

    return dataclasses.replace(self, caches=jax.tree.map(wide, self.caches),
                               ancestors_RS=jnp.repeat(self.ancestors_RS, num_beams, 0))

  def reorder(self, rows_R: jax.Array) -> "DecodingState":
    """Row r goes on where row rows_R[r] of the same sentence was."""
    return dataclasses.replace(self, ancestors_RS=self.ancestors_RS[rows_R])
