"""Is a map true to the network? What it says matters is taken away, and left alone; what it adds up to is compared.

Shapes: B examples, K subsets, M methods, U units.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from research.interpretation.probing import Case, Probe, Weights
from research.metrics.base import bootstrap_weights

RANDOM = "random"  # the name of the map that knows nothing
FAITHFUL, NO_BETTER, INSENSITIVE = "faithful", "no better than random", "insensitive to the model"
_ALIKE = 0.5  # rank correlation of maps of a trained network and of one that forgot all, above which the map shows neither


@dataclasses.dataclass(frozen=True)
class Effects:
  """What happens to the score of each example, whatever the map.

  Attributes:
    change_B: the score less that of the baseline.
    subsets_KBU: 1 where a unit is left, 0 where it is taken away; of an example always equally many are.
    losses_KB: how much the score falls.
  """

  change_B: np.ndarray
  subsets_KBU: np.ndarray
  losses_KB: np.ndarray


def effects(probe: Probe, weights: Weights, case: Case, counts_BU: np.ndarray, *, num: int, seed: int) -> Effects:
  """Takes a quarter of the units away, `num` times at random.

  Args:
    probe, weights, case: what is explained.
    counts_BU: whether a unit can matter at all.
    num: subsets.
    seed: of the subsets.
  """
  random = np.random.default_rng(seed)
  sizes_B = np.maximum(1, np.round(counts_BU.sum(1) / 4))
  draws = np.where(counts_BU, random.random((num, *counts_BU.shape)), 2.0)
  subsets_KBU = (_ranks(draws) >= sizes_B[:, None]).astype(np.float64)
  ends = np.stack([np.ones(counts_BU.shape), 1.0 - counts_BU])
  scores = probe.scores_at_masks(weights, case, np.concatenate([ends, subsets_KBU]))
  return Effects(scores[0] - scores[1], subsets_KBU, scores[:1] - scores[2:])


def mu_fidelity(map_BU: np.ndarray, effects: Effects) -> np.ndarray:
  """(B,): Pearson's correlation over subsets of what a map says they are worth and what the score loses (Bhatt et al. 2020)."""
  claims_KB = ((1 - effects.subsets_KBU) * map_BU).sum(2)
  centred = [x - x.mean(0) for x in (claims_KB, effects.losses_KB)]
  norms = np.sqrt((centred[0] ** 2).sum(0) * (centred[1] ** 2).sum(0))
  return np.where(norms > 0, (centred[0] * centred[1]).sum(0) / np.where(norms > 0, norms, 1), 0)


def infidelity(map_BU: np.ndarray, effects: Effects) -> np.ndarray:
  """(B,): the mean squared difference of the two (Yeh et al. 2019), the map scaled as best it can be and not turned around; as
  a share of the mean squared loss: 0 for a map that tells all, 1 for one that tells nothing."""
  claims_KB, losses_KB = ((1 - effects.subsets_KBU) * map_BU).sum(2), effects.losses_KB
  square = np.maximum((claims_KB**2).sum(0), 1e-30)
  best_B = np.maximum((claims_KB * losses_KB).sum(0) / square, 0)
  total = (losses_KB**2).sum(0)
  return np.where(total > 0, ((best_B * claims_KB - losses_KB) ** 2).sum(0) / np.where(total > 0, total, 1), 1)


def areas(probe: Probe, weights: Weights, case: Case, map_BU: np.ndarray, counts_BU: np.ndarray, change_B: np.ndarray, *,
          num_steps: int) -> tuple[np.ndarray, np.ndarray]:
  """Areas under the curves of deletion and insertion (Petsiuk et al. 2018), (B,) each, the baseline's score being 0.

  Units are taken away, or brought into the baseline, those first that the map calls most important. A good map has a small
  first and a large second area.
  """
  rank_BU = _ranks(np.where(counts_BU, -map_BU, np.inf))
  num_B = counts_BU.sum(1)
  taken = [np.round(num_B * k / num_steps)[:, None] > rank_BU for k in range(1, num_steps)]
  masks = [1.0 - (its & counts_BU) for its in taken] + [np.where(counts_BU, its, 1.0) for its in taken]
  ends = np.stack([np.ones(counts_BU.shape), 1.0 - counts_BU])
  scores = probe.scores_at_masks(weights, case, np.concatenate([ends, np.stack(masks)]))
  scores = scores - scores[1]
  middle = (change_B / 2) / num_steps  # both curves end at the same two points
  deletion, insertion = (part.sum(0) / num_steps + middle for part in np.split(scores[2:], 2))
  return deletion, insertion


def sensitivity(map_BU: np.ndarray, disturbed: Sequence[np.ndarray]) -> np.ndarray:
  """(B,): the largest relative change of a map under small changes of the input (Yeh et al. 2019)."""
  norm_B = np.maximum(np.linalg.norm(map_BU, axis=1), 1e-30)
  return np.max([np.linalg.norm(other - map_BU, axis=1) / norm_B for other in disturbed], axis=0)


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over examples and its 95 % bootstrap interval."""

  mean: float
  low: float
  high: float


def estimate(values_N: Sequence[float]) -> Estimate:
  """Of what is finite."""
  values = np.asarray(values_N, np.float64)
  values = values[np.isfinite(values)]
  if not len(values):
    return Estimate(float("nan"), float("nan"), float("nan"))
  return Estimate(float(values.mean()), *bootstrap_weights(len(values), lambda w: w @ values / w.sum()))


def verdict(differences: Mapping[str, Estimate], forgotten: Estimate | None) -> str:
  """In words.

  Args:
    differences: by how much each measure is better than a random map's on the same examples.
    forgotten: the rank correlation of the map with that of a network all of whose layers were forgotten; None if not measured.

  Returns:
    INSENSITIVE if what was learned hardly shows in the map, however well it does: any network has it. FAITHFUL if every
    interval is above 0. NO_BETTER otherwise.
  """
  if forgotten is not None and forgotten.low > _ALIKE:
    return INSENSITIVE
  return FAITHFUL if all(its.low > 0 for its in differences.values()) else NO_BETTER


def _ranks(values: np.ndarray) -> np.ndarray:
  """Places in ascending order over the last dimension."""
  return values.argsort(-1, kind="stable").argsort(-1, kind="stable")
