"""Evaluation: every example counts once, whatever the batch size and the number of devices and hosts."""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import jax
import numpy as np
from jax.sharding import Mesh

from research.metrics.base import bootstrap, bootstrap_weights
from research.tasks.base import Task
from research.training.program import Network
from research.training.sharding import replicated


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What an evaluation found.

  Attributes:
    values: each metric over all examples.
    rows: each metric's per-example statistics, (N, k), in the order of the source.
    records: what the task keeps of each example, (N,) each, and "index", its number in the source.
    num_examples: how many counted (a broken record does not).
  """

  values: dict[str, float]
  rows: dict[str, np.ndarray]
  records: dict[str, np.ndarray]
  num_examples: int

  def intervals(self, task: Task) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over the examples."""
    metrics = task.metrics
    return {**{name: bootstrap(rows, metrics[name].value) for name, rows in self.rows.items()},
            **{name: bootstrap_weights(self.num_examples, functools.partial(metric.value, self.records))
               for name, metric in task.record_metrics.items()}}


def make_statistics(network: Network, task: Task, mesh: Mesh) -> Callable:
  """Returns a compiled (params, buffers, batch) -> (mask (B,), {metric: rows (B, k)}, {record: (B,)}), whole on every host."""

  def statistics(params, buffers, batch):
    outputs, seen, _ = network.forward(params, buffers, batch, None)
    return batch["mask"], task.statistics(outputs, seen), {"index": batch["index"], **task.records(outputs, seen)}

  return jax.jit(statistics, out_shardings=replicated(mesh))


def evaluate(statistics: Callable, params, buffers, batches: Iterable, task: Task,
             between: Callable[[], None] = lambda: None) -> Evaluation:
  """Runs over all batches. `between` is called before each and may raise to break off."""
  queue, done = [], []
  for batch in batches:
    between()
    queue.append(statistics(params, buffers, batch))
    if len(queue) > 2:  # two batches in flight keep the device busy; more would only hold memory
      done.append(jax.device_get(queue.pop(0)))
  done += jax.device_get(queue)
  masks, rows, records = zip(*done)
  real = np.concatenate(masks) > 0
  whole = lambda batches: {name: np.concatenate([b[name] for b in batches])[real] for name in batches[0]}
  rows, records = {name: r.astype(np.float64) for name, r in whole(rows).items()}, whole(records)
  values = {name: metric.value(rows[name].sum(0)) for name, metric in task.metrics.items()}
  values |= {name: metric.value(records, np.ones(real.sum())) for name, metric in task.record_metrics.items()}
  return Evaluation(values, rows, records, int(real.sum()))
