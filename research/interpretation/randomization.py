"""Does an explanation depend on what was learned? Layers lose their weights one by one, and maps are compared.

The model parameter test of Adebayo et al. 2018, *Sanity checks for saliency maps*.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core
from scipy import stats

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


def independent(params: Any, fresh: Any, layers: Sequence[Sequence[str]]) -> Iterator[Any]:
  """Yields the trained parameters with one group of layers replaced by its fresh values, each group in turn."""
  values, new = paths(params), paths(fresh)
  for group in layers:
    inside = {path: new[path] for path in values if any(f"{path}/".startswith(f"{layer}/") for layer in group)}
    yield jax.tree.unflatten(jax.tree.structure(params), list((values | inside).values()))


def layers_from_the_top(function: Callable[[Any], Any], params: Any) -> list[str]:
  """The modules that hold parameters, as paths, the one used last by `function` first: what `cascade` takes.

  Args:
    function: of the parameters; it is only traced.
    params: the parameters.
  """
  jaxpr = jax.make_jaxpr(function)(params).jaxpr
  names = list(paths(params))
  # A cast to the format of the computation is no use of a parameter yet.
  holds, used = dict(zip(jaxpr.invars, names, strict=True)), {}
  for position, eqn in enumerate(jaxpr.eqns):
    for v in eqn.invars:
      name = None if isinstance(v, core.Literal) else holds.get(v)
      if name is None:
        continue
      if eqn.primitive.name == "convert_element_type":
        holds[eqn.outvars[0]] = name
      else:
        used.setdefault(name, position)
  layers: dict[str, int] = {}
  for name in names:
    layer = name.rpartition("/")[0] or name
    layers[layer] = max(layers.get(layer, -1), used.get(name, -1))
  return sorted(layers, key=lambda layer: -layers[layer])


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Spearman's rank correlation of each example of `a` with that of `b`: (B, ...), (B, ...) to (B,).

  Equal values share their mean rank; an example whose values are all equal has none and gives nan.
  """
  a_BN, b_BN = (_centred_ranks(np.asarray(m).reshape(len(m), -1)) for m in (a, b))
  with np.errstate(invalid="ignore"):
    return (a_BN * b_BN).sum(-1) / np.sqrt((a_BN**2).sum(-1) * (b_BN**2).sum(-1))


def _centred_ranks(values_BN: np.ndarray) -> np.ndarray:
  return stats.rankdata(values_BN, axis=-1) - (values_BN.shape[-1] + 1) / 2
