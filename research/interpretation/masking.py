"""What the score loses when parts of the input are taken away: occlusion, and RISE.

Shapes: B examples, K masks, U units.
"""

import jax
import jax.numpy as jnp
import numpy as np

from research.interpretation.probing import Case, Probe, Weights


def occlusion(probe: Probe, weights: Weights, case: Case) -> np.ndarray:
  """(B, U): how much the score falls when a unit is replaced by the baseline (Zeiler, Fergus 2014)."""
  num, num_units = len(case.targets), probe.units.num
  masks = np.concatenate([np.ones((1, num_units)), 1 - np.eye(num_units)])
  scores_KB = probe.scores_at_masks(weights, case, np.broadcast_to(masks[:, None], (len(masks), num, num_units)))
  return (scores_KB[:1] - scores_KB[1:]).T


def rise(probe: Probe, weights: Weights, case: Case, *, num_masks: int, seed: int) -> np.ndarray:
  """(B, U): by how much a unit's being there raises the score, over random masks (Petsiuk et al. 2018).

  The paper's mean of the masks weighted by the scores, less what it would be by chance: the covariance of mask and score over
  the variance of the mask. So logits do as well as probabilities.
  """
  masks_KU = random_masks(probe.units.grid, num_masks, seed)
  num = len(case.targets)
  scores_KB = probe.scores_at_masks(weights, case, np.broadcast_to(masks_KU[:, None], (num_masks, num, probe.units.num)))
  deviation_KU = masks_KU - masks_KU.mean(0)
  return (scores_KB - scores_KB.mean(0)).T @ deviation_KU / np.maximum((deviation_KU**2).sum(0), 1e-12)


def random_masks(grid: tuple[int, ...], num: int, seed: int) -> np.ndarray:
  """(num, U) from 0 to 1: on and off at even odds; over two dimensions half as fine, enlarged smoothly, shifted at random."""
  random = np.random.default_rng(seed)
  if len(grid) < 2:
    return random.integers(0, 2, (num, *grid)).astype(np.float64)
  coarse = [max(2, -(-side // 2)) + 1 for side in grid]
  fine = [2 * side for side in coarse]
  small = jnp.asarray(random.integers(0, 2, (num, *coarse)), jnp.float32)
  large = np.asarray(jax.image.resize(small, (num, *fine), "linear"))
  tops = [random.integers(0, most - side + 1, num) for most, side in zip(fine, grid)]
  return np.stack([mask[top:top + grid[0], left:left + grid[1]] for mask, top, left in zip(large, *tops)]).reshape(num, -1)
