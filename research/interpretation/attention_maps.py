"""Where each position of a Transformer looks.

Shapes: B examples, T positions, H heads.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from research.nn.attention import causal_mask
from research.nn.transformer import Context


def attention_maps(model: Any, tokens_BT: jax.Array) -> list[jax.Array]:
  """Attention weights (B, H, T, T) of each layer, from query to key.

  Args:
    model: a causal research.models.transformer.Transformer with normalisation first, learned positions, layers not stacked, and
      neither rotary positions nor normalised queries.
    tokens_BT: its input.
  """
  config, length = model.config, tokens_BT.shape[1]
  assert config.causal and config.positions == "learned" and not config.scan and config.block.norm_first
  x_BTD = model.embedding(tokens_BT) + model.position_embedding(jnp.arange(length))
  mask, maps = causal_mask(length), []
  heads = lambda y: y.reshape(*y.shape[:2], config.block.num_heads, -1).swapaxes(1, 2)
  for block in model.blocks:
    normal_BTD = block.attention_norm(x_BTD)
    q, k = heads(block.attention.query(normal_BTD)), heads(block.attention.key(normal_BTD))
    scores = jnp.einsum("bhtk,bhsk->bhts", q, k) / math.sqrt(q.shape[-1])
    maps.append(jax.nn.softmax(jnp.where(mask, scores, -jnp.inf)))
    x_BTD = block(x_BTD, Context(mask=mask))
  return maps
