"""Does an explanation depend on what was learned? Layers lose their weights one by one, and maps are compared.

The model parameter test of Adebayo et al. 2018, *Sanity checks for saliency maps*.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from research.rules import paths


def cascade(params: Any, fresh: Any, layers: Sequence[str]) -> Iterator[tuple[str, Any]]:
  """Yields (layer, parameters) with the layers up to and including this one replaced by their fresh values.

  Args:
    params: trained parameters.
    fresh: the same tree, initialised anew.
    layers: paths of subtrees ("layers/0", "head"), the layer nearest to the output first.

  Raises:
    ValueError: a path that names no parameter, or a parameter that no path covers: the last step would not be random.
  """
  assert jax.tree.structure(params) == jax.tree.structure(fresh)
  values, new = paths(params), paths(fresh)
  covered = {layer: [path for path in values if f"{path}/".startswith(f"{layer}/")] for layer in layers}
  absent = [layer for layer in layers if not covered[layer]]
  left = sorted(set(values).difference(*covered.values()))
  if absent or left:
    raise ValueError(f"layers that name no parameter: {absent}; parameters that no layer covers: {left}")
  for layer in layers:
    values |= {path: new[path] for path in covered[layer]}
    yield layer, jax.tree.unflatten(jax.tree.structure(params), list(values.values()))


def spearman(a: jax.Array, b: jax.Array) -> jax.Array:
  """Spearman's rank correlation of each example of `a` with that of `b`: (B, ...), (B, ...) to (B,).

  Equal values share their mean rank; an example whose values are all equal has none and gives nan.
  """
  a_BN, b_BN = (_centred_ranks(m.reshape(len(m), -1)) for m in (a, b))
  return (a_BN * b_BN).sum(-1) / jnp.sqrt((a_BN**2).sum(-1) * (b_BN**2).sum(-1))


def _centred_ranks(values_BN: jax.Array) -> jax.Array:
  """Mean rank minus the middle rank: half of (how many are smaller) − (how many are larger)."""
  def of_one(values):
    ordered = jnp.sort(values)
    smaller, not_larger = (jnp.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return (smaller + not_larger - len(values)) / 2

  return jax.vmap(of_one)(values_BN)
