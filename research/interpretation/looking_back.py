"""Where a network that writes looked in its source for each token: its attention, read off from outside.

Shapes: B examples, H heads, T tokens of the target, S of the source.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from research.interpretation.attention_flow import ATTENTION
from research.interpretation.rewriting import NotThere


def looked_at(forward: Callable[[jax.Array], jax.Array], targets_BT: jax.Array, source_length: int) -> jax.Array:
  """Attention (B, T, S) from each token of the target, as it is predicted, to the source: the mean over heads of the last layer
  but one, which of a translator's agrees best with people's alignments (Garg et al. 2019, table 2).

  Args:
    forward: targets (B, any length) -> scores that depend on all layers; it has the source.
    targets_BT: what was written.
    source_length: S.

  Raises:
    NotThere: no attention from targets to the source can be seen.
  """
  length = targets_BT.shape[1]
  # Layers are told apart by how many look at how many: with more targets than sources no two are alike.
  rows = max(length, source_length + 1)
  layers = attention_to(forward, jnp.pad(targets_BT, ((0, 0), (0, rows - length))), source_length)
  return layers[max(0, len(layers) - 2)].mean(1)[:, :length].astype(jnp.float32)


def attention_to(forward: Callable[[jax.Array], jax.Array], targets_BT: jax.Array, source_length: int) -> list[jax.Array]:
  """Attention (B, H, T, S) from the target to the source, of every layer in the order in which they run.

  Args:
    forward: as above.
    targets_BT: T is no other number of positions that look at S.
    source_length: S.

  Raises:
    NotThere: there is none.
  """
  found: list[jax.Array] = []
  num_targets = targets_BT.shape[1]

  def replace(eqn, inputs, bind):
    del eqn, inputs
    weights = bind()[0]
    if weights.shape[3] == source_length and weights.shape[2] % num_targets == 0:
      # Queries that share keys are rows of one head.
      found.append(weights.reshape(weights.shape[0], -1, num_targets, source_length))
    return [weights]

  dataclasses.replace(ATTENTION, replace=replace).run(jax.make_jaxpr(forward)(targets_BT), [targets_BT])
  if not found:
    raise NotThere("the network has no attention to its source")
  return found
