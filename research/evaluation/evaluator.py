"""Evaluation: every example counts once, whatever the batch size and the number of devices and hosts."""

import dataclasses
from collections.abc import Callable, Iterable

import jax
import numpy as np

from research.metrics.base import Metric, bootstrap
from research.training.program import Program
from research.training.sharding import replicated


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What an evaluation found.

  Attributes:
    values: each metric over all examples.
    rows: each metric's per-example statistics, (N, k), in the order of the source.
    num_examples: how many counted (a broken record does not).
  """

  values: dict[str, float]
  rows: dict[str, np.ndarray]
  num_examples: int

  def intervals(self, metrics: dict[str, Metric]) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over the examples."""
    return {name: bootstrap(rows, metrics[name].value) for name, rows in self.rows.items()}


def make_statistics(program: Program) -> Callable:
  """Returns a compiled (params, buffers, batch) -> (mask (B,), {metric: rows (B, k)}), whole on every host."""

  def statistics(params, buffers, batch):
    return batch["mask"], program.statistics(params, buffers, batch)

  return jax.jit(statistics, out_shardings=replicated(program.mesh))


def evaluate(statistics: Callable, params, buffers, batches: Iterable, metrics: dict[str, Metric],
             between: Callable[[], None] = lambda: None) -> Evaluation:
  """Runs over all batches. `between` is called before each and may raise to break off."""
  queue, done = [], []
  for batch in batches:
    between()
    queue.append(statistics(params, buffers, batch))
    if len(queue) > 2:  # two batches in flight keep the device busy; more would only hold memory
      done.append(jax.device_get(queue.pop(0)))
  done += jax.device_get(queue)
  real = np.concatenate([mask for mask, _ in done]) > 0
  rows = {name: np.concatenate([r[name] for _, r in done])[real].astype(np.float64) for name in metrics}
  values = {name: metrics[name].value(r.sum(0)) for name, r in rows.items()}
  return Evaluation(values, rows, int(real.sum()))
