"""Integrated gradients with as many steps as it takes until the attributions add up.

Sundararajan, Taly, Yan 2017: over an example they sum to score(x) − score(x'). The midpoint rule comes close; how close is the
completeness gap. The points of m steps are among those of 3 m, so that nothing is computed twice on the way.

Shapes: B examples.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from research.interpretation.probing import Case, Probe, Weights

_FIRST, _FACTOR = 16, 3


@dataclasses.dataclass(frozen=True)
class Integrated:
  """Attributions and how they came about.

  Attributes:
    attributions: like the inputs.
    gap_B: |sum − change of the score| / |change of the score|; not finite where the score does not change.
    num_steps: points of the path.
    coarser: what there was on the way: attributions by their number of points, these ones among them.
  """

  attributions: jax.Array
  gap_B: np.ndarray
  num_steps: int
  coarser: Mapping[int, jax.Array]


def integrated_gradients(probe: Probe, weights: Weights, case: Case, *, tolerance: float, max_steps: int,
                         num_steps: int | None = None) -> Integrated:
  """(x − x')·∫₀¹ ∇score(x' + α(x − x')) dα.

  Args:
    probe, weights, case: what is explained.
    tolerance: the largest gap of an example at which to stop.
    max_steps: points at most.
    num_steps: as many points, whatever the gap.
  """
  ends = np.stack([np.ones((len(case.targets), probe.units.num)), np.zeros((len(case.targets), probe.units.num))])
  full_B, empty_B = probe.scores_at_masks(weights, case, ends)
  steps = min(_FIRST, max_steps) if num_steps is None else num_steps
  total = probe.path_gradient(weights, case, (np.arange(steps) + 0.5) / steps)
  coarser = {}
  while True:
    found = coarser[steps] = probe.whole("path to attributions", _times_difference)(weights, case, total, jnp.float32(steps))
    change_B = full_B - empty_B
    gap_B = np.abs(np.asarray(found).reshape(len(change_B), -1).sum(-1) - change_B) / np.abs(change_B)
    if num_steps is not None or np.nanmax(gap_B) <= tolerance or _FACTOR * steps > max_steps:
      return Integrated(found, gap_B, steps, coarser)
    # Midpoint k of m is midpoint 3k + 1 of 3m.
    steps *= _FACTOR
    new = np.delete(np.arange(steps), np.arange(1, steps, _FACTOR))
    total = total + probe.path_gradient(weights, case, (new + 0.5) / steps)


def _times_difference(score, x, case, total, steps):
  del score
  return (x - case.baseline) * total / steps
