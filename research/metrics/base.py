"""Metrics as sums: what every one of them shares.

A metric of an example is a row of k numbers (its sufficient statistics). Rows are added over examples, batches, devices
and hosts, and `value` turns the sum into the figure. So nothing is ever averaged over batches, a padded example is a row
of zeros, and the bootstrap is the same for accuracy, perplexity, BLEU and word error rate.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


def mean(sums: np.ndarray) -> float:
  """Sums (total, count) to total / count; not a number for a count of zero."""
  return float(sums[0] / sums[1]) if sums[1] else float("nan")


@dataclasses.dataclass(frozen=True)
class Metric:
  """How to finish the sums of one metric.

  Attributes:
    value: sums (k,) to the figure.
    signature: the protocol, which a target must share; "" where the name says it all.
    better: which way is better.
  """

  value: Callable[[np.ndarray], float] = mean
  signature: str = ""
  better: str = "lower"


def bootstrap(rows: np.ndarray, value: Callable[[np.ndarray], float], *, num_resamples: int = 1000,
              seed: int = 0) -> tuple[float, float]:
  """95 % percentile interval of a metric over examples (Efron 1979): resamples rows (N, k) with replacement."""
  rng = np.random.default_rng(seed)
  num = len(rows)
  values = [value(np.bincount(rng.integers(0, num, num), minlength=num) @ rows) for _ in range(num_resamples)]
  low, high = np.nanpercentile(values, [2.5, 97.5])
  return float(low), float(high)
