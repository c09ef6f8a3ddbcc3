"""Metrics as sums: what every one of them shares.

A metric of an example is a row of k numbers (its sufficient statistics). Rows are added over examples, batches, devices
and hosts, and `value` turns the sum into the figure. So nothing is ever averaged over batches, a padded example is a row
of zeros, and the bootstrap is the same for accuracy, perplexity, BLEU and word error rate.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

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


@dataclasses.dataclass(frozen=True)
class RecordMetric:
  """A metric whose rows would be long: a function of what the evaluator keeps of each example, a few numbers.

  Attributes:
    value: (records: name to (N,), how often each example counts (N,)) to the figure.
    signature: as of `Metric`.
    better: as of `Metric`.
  """

  value: Callable[[dict[str, np.ndarray], np.ndarray], float]
  signature: str = ""
  better: str = "lower"


class TextMetric(Protocol):
  """Scores texts that were written against those they should be: one or more metrics that are computed together."""

  @property
  def metrics(self) -> dict[str, Metric]:
    """How to finish each entry of `rows`."""
    ...

  def rows(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Per-example sufficient statistics (N, k) of N hypotheses and the references of each."""
    ...


def bootstrap(rows: np.ndarray, value: Callable[[np.ndarray], float], *, num_resamples: int = 1000,
              seed: int = 0) -> tuple[float, float]:
  """95 % percentile interval of a metric over examples (Efron 1979): resamples rows (N, k) with replacement."""
  return bootstrap_weights(len(rows), lambda weights: value(weights @ rows), num_resamples=num_resamples, seed=seed)


def bootstrap_weights(num: int, value: Callable[[np.ndarray], float], *, num_resamples: int = 1000,
                      seed: int = 0) -> tuple[float, float]:
  """The same of any function of how often each of `num` examples was drawn, weights (N,)."""
  rng = np.random.default_rng(seed)
  values = [value(np.bincount(rng.integers(0, num, num), minlength=num)) for _ in range(num_resamples)]
  low, high = np.nanpercentile(values, [2.5, 97.5])
  return float(low), float(high)
