"""Evaluation of models that write: a text for each example, held against references."""

import dataclasses
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from research.data.examples import Examples
from research.metrics.base import Metric, bootstrap
from research.tasks.writing import WritingTask, references
from research.training.program import Network
from research.training.sharding import replicated


@dataclasses.dataclass(frozen=True)
class Written:
  """What was written for N examples, in the order of `index`.

  Attributes:
    index: (N,) the examples' numbers in their source.
    sources: as people read them; [] where they are not to be shown.
    hypotheses: what was written.
    references: what it should be; a tuple each, by the first of the task's references.
    values: each metric over all examples.
    intervals: 95 % bootstrap intervals over the examples.
    metrics: what the values are.
    rows: each metric's per-example statistics (N, k).
  """

  index: np.ndarray
  sources: list[str]
  hypotheses: list[str]
  references: list[tuple[str, ...]]
  values: dict[str, float]
  intervals: dict[str, tuple[float, float]]
  metrics: dict[str, Metric]
  rows: dict[str, np.ndarray]


def make_writer(network: Network, task: WritingTask, mesh: Mesh) -> Callable:
  """Returns a compiled (params, buffers, batch) -> (index (B,), what the task writes (B, ...)), whole on every host.

  The index is -1 where there is no example.
  """

  def write(params, buffers, batch):
    written = task.write(network.bind(params, buffers), network.see(batch))
    return jnp.where(batch["mask"] > 0, batch["index"], -1), written

  return jax.jit(write, out_shardings=replicated(mesh))


def write_all(writer: Callable, params, buffers, batches: Iterable, examples: Examples, task: WritingTask,
              between: Callable[[], None] = lambda: None) -> Written:
  """Lets a model write for every example of a split, and scores it.

  Args:
    writer: from make_writer.
    params, buffers: of the network.
    batches: of the evaluation, on the devices.
    examples: where sources and references are.
    task: what is measured.
    between: called before each batch; may raise to break off.
  """
  assert task.writing is not None
  tokenizer, queue = examples.tokenizers["targets"], []
  found: dict[int, str] = {}

  def fetch():
    index_B, written = jax.device_get(queue.pop(0))
    real = np.flatnonzero(index_B >= 0)
    texts = task.texts({name: array[real] for name, array in written.items()}, tokenizer)
    found.update(zip(index_B[real].tolist(), texts, strict=True))

  for batch in batches:
    between()
    queue.append(writer(params, buffers, batch))
    if len(queue) > 1:
      fetch()
  while queue:
    fetch()

  index = np.array(sorted(found), np.int64)
  hypotheses = [found[i] for i in index.tolist()]
  raw = examples.raw(index)
  values, intervals, metrics, rows = {}, {}, {}, {}
  for against in task.writing.against:
    texts = hypotheses if against.detokenize is None else [against.detokenize.detokenize(text) for text in hypotheses]
    its = against.metric.rows(texts, references(raw[against.reference]))
    for name, metric in against.metric.metrics.items():
      signature = "|".join(filter(None, (metric.signature, task.writing.decoding.signature)))
      metrics[name], rows[name] = dataclasses.replace(metric, signature=signature), its[name]
      values[name] = metric.value(its[name].sum(0))
      intervals[name] = bootstrap(its[name], metric.value)
  sources = [] if task.writing.source is None else list(raw[task.writing.source])
  return Written(index, sources, hypotheses, references(raw[task.writing.against[0].reference]), values,
                 intervals, metrics, rows)
