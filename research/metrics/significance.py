"""Is one system better than another on the same examples? Tests for any metric that is a sum of rows (N, k).

As in sacreBLEU's paired tests (Post 2018), so that p-values can be set beside published ones.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

_DRAWN = 5_000_000  # exchanges at a time: what bounds the memory


@dataclasses.dataclass(frozen=True)
class Difference:
  """The value of the second system minus that of the first.

  Attributes:
    value: over all examples.
    interval: 95 %: of the difference (bootstrap); or where it would lie if the systems were alike (randomization).
    p_value: how probable a difference as large would be if the systems were alike.
  """

  value: float
  interval: tuple[float, float]
  p_value: float


def paired_bootstrap(rows_a: np.ndarray, rows_b: np.ndarray, value: Callable[[np.ndarray], float], *,
                     num_resamples: int = 1000, seed: int = 0) -> Difference:
  """Resamples the examples with replacement, the same ones for both systems (Koehn 2004).

  The p-value is Moses' and sacreBLEU's: how often a resample's absolute difference lies above their mean by more than the
  difference itself.

  Args:
    rows_a: statistics (N, k) of the first system.
    rows_b: those of the second, of the same examples in the same order.
    value: the metric.
    num_resamples: resamples.
    seed: of the draws.
  """
  assert rows_a.shape == rows_b.shape, (rows_a.shape, rows_b.shape)
  num, rng, differences = len(rows_a), np.random.default_rng(seed), np.zeros(num_resamples)
  both = np.concatenate([rows_a, rows_b], axis=1)
  for i in range(num_resamples):
    sums_a, sums_b = np.split(np.bincount(rng.integers(0, num, num), minlength=num) @ both, 2)
    differences[i] = value(sums_b) - value(sums_a)
  size = np.abs(differences)
  return _difference(value(rows_b.sum(0)) - value(rows_a.sum(0)), differences, size - size.mean())


def approximate_randomization(rows_a: np.ndarray, rows_b: np.ndarray, value: Callable[[np.ndarray], float], *,
                              num_trials: int = 10_000, seed: int = 0) -> Difference:
  """Exchanges the two systems' outputs at random, example by example (Noreen 1989; Riezler and Maxwell 2005).

  The p-value is two-sided: how often the systems so mixed differ by more than the real ones.

  Args:
    rows_a: statistics (N, k) of the first system.
    rows_b: those of the second, of the same examples in the same order.
    value: the metric.
    num_trials: trials.
    seed: of the exchanges.
  """
  assert rows_a.shape == rows_b.shape, (rows_a.shape, rows_b.shape)
  sum_a, sum_b = rows_a.sum(0), rows_b.sum(0)
  differences = [value(sum_b - moved) - value(sum_a + moved) for moved in _exchanged(rows_b - rows_a, num_trials, seed)]
  return _difference(value(sum_b) - value(sum_a), differences, np.abs(differences))


def _exchanged(gaps: np.ndarray, num_trials: int, seed: int) -> Iterator[np.ndarray]:
  """Of each trial what the exchanged examples move from the second system's sums to the first's, (k,)."""
  rng, chunk = np.random.default_rng(seed), max(_DRAWN // len(gaps), 1)
  for begin in range(0, num_trials, chunk):
    swapped = rng.integers(0, 2, (min(chunk, num_trials - begin), len(gaps)), np.uint8)
    yield from swapped.astype(np.float64) @ gaps


def _difference(found: float, differences: Sequence[float] | np.ndarray, sizes: np.ndarray) -> Difference:
  """The p-value is the share of sizes above |found| by more than rounding. That itself counts as one, so that none is 0."""
  low, high = np.percentile(differences, [2.5, 97.5])
  p_value = (np.sum(sizes > abs(found) * (1 + 1e-9)) + 1) / (len(sizes) + 1) if found else 1.0
  return Difference(found, (float(low), float(high)), float(p_value))
