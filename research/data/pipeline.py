"""Batches without end for training, and each example once for evaluation; Grain reads them ahead.

Batch k of epoch e follows from (seed, e, k) alone, whatever the number of hosts, worker processes or threads. So the
whole state of the iterator is the number of the next batch. Imports no jax: worker processes import this module.
K: batches, B: those examples of a batch that this host loads.
"""

import functools
import math
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence

import grain
import numpy as np
from absl import flags

from research.data.examples import Examples
from research.data.loading import Broken, BrokenRecords, Feature, Loader, shapes
from research.data.plan import BatchPlan
from research.preprocessing.transform import Transform

Batch = dict[str, np.ndarray]

# Handing an element through Grain's threads costs some 0.1 ms, so what is cheap to read is read many batches at a time.
_BLOCK_BYTES, _BLOCK_BATCHES = 2**20, 32
_FOREVER = 2**48


class _Blocks:
  """Random access to blocks of consecutive batches: what Grain reads. Element i holds batches first + i * size ..."""

  def __init__(self, loader: Loader, plan: BatchPlan, rows: slice, *, first: int, size: int, num: int,
               with_index: bool):
    self._loader, self._plan, self._rows, self._with_index = loader, plan, rows, with_index
    self._first, self._size, self._num = first, size, num

  def __setstate__(self, state: dict) -> None:
    self.__dict__.update(state)
    _end_with_parent()

  def __len__(self) -> int:
    return self._num

  def __getitem__(self, index: int) -> tuple[Batch, list[tuple[str, str]]]:
    """Features (K, B, ...) and the key and error of every broken example."""
    start = self._first + index * self._size
    batches = [divmod(k, self._plan.batches_per_epoch) for k in range(start, start + self._size)]
    indices_KB = np.stack([self._own(self._plan.indices(epoch, k)) for epoch, k in batches])
    epochs_KB = np.broadcast_to(np.array([[epoch] for epoch, _ in batches]), indices_KB.shape)
    lengths = self._plan.lengths[self._plan.bucket(*batches[0])]
    features, broken = self._loader.load(indices_KB.ravel(), epochs_KB.ravel(), lengths)
    block = {name: array.reshape(*indices_KB.shape, *array.shape[1:]) for name, array in features.items()}
    if self._with_index:
      block["index"] = indices_KB
    return block, [(record.key, record.error) for record in broken]

  def _own(self, indices: np.ndarray) -> np.ndarray:
    """This host's part of a batch, whose size is a multiple of the plan's."""
    start, stop, _ = self._rows.indices(self._plan.batch_size)
    times = len(indices) // self._plan.batch_size
    return indices[start * times:stop * times]


@functools.cache
def _end_with_parent() -> None:
  """Lets a worker process end when the one that it reads for was killed; it would wait for it forever, holding its memory."""
  if (parent := multiprocessing.parent_process()) is not None:
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _read_ahead(blocks: _Blocks, num_threads: int, num_workers: int) -> grain.DatasetIterator:
  options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=num_threads and num_threads + 1)
  dataset = grain.MapDataset.source(blocks).to_iter_dataset(options)
  if num_workers:
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # Grain reads its own flags, which nothing parses in notebooks and tests
    dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2))
  return iter(dataset)


class Pipeline:
  """An endless iterator of training batches.

  A batch maps each feature to an array with a leading B, and `mask` (B,) float32 to 1 for examples and 0 for padding
  and broken records. With `chunk` K above 1, K consecutive batches come as one, stacked (K, B, ...), which a plan with
  several buckets does not allow. No array of a batch is written to again.

  Args:
    examples: what is read.
    transforms: what is done to them.
    plan: what makes up a batch.
    seed: of the transforms' random numbers.
    rows: the part of every batch of `plan.batch_size` that this host loads; of a larger one, as many times more.
    chunk: how many batches are delivered at a time.
    num_threads: threads that read; 0 reads when asked.
    num_workers: processes that read, each with `num_threads`; 0 reads in this one.
    max_broken_share: the largest share of broken examples that is no error.

  Attributes:
    spec: shape and type of the features of one example, without the mask.
    batches_per_epoch: the number of batches of an epoch.
    broken: the broken examples of what was read so far.

  Raises:
    DataError: the examples cannot be loaded; from `next`, too many are broken.
  """

  def __init__(self, examples: Examples, transforms: Sequence[Transform], plan: BatchPlan, *, seed: int,
               rows: slice = slice(None), chunk: int = 1, num_threads: int = 2, num_workers: int = 0,
               max_broken_share: float = 0.01):
    assert chunk == 1 or len(plan.lengths) == 1, "batches of different shapes cannot be stacked"
    self._loader = Loader(examples, transforms, seed, tuple(plan.lengths[-1]))
    self._plan, self._rows, self._chunk = plan, rows, chunk
    self._threads = {"num_threads": num_threads, "num_workers": num_workers}
    self.spec: dict[str, Feature] = self._loader.spec
    self.batches_per_epoch = plan.batches_per_epoch
    self.broken = BrokenRecords(max_broken_share)
    example_bytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes(self.spec, plan.lengths[-1]).values())
    ahead = min(_BLOCK_BYTES // max(example_bytes * plan.batch_size, 1), _BLOCK_BATCHES) // chunk
    if not examples.in_memory or len(plan.lengths) > 1:
      ahead = 1
    self._block_size = max(ahead, 1) * chunk
    self._source = None
    self.restore({"next_batch": 0})

  def __iter__(self) -> "Pipeline":
    return self

  def __next__(self) -> Batch:
    batch = next(self._batches)
    self._next_batch += self._chunk
    return batch

  def state(self) -> dict[str, int]:
    """Where the iterator stands: the number of the next batch, counted over all epochs. JSON."""
    return {"next_batch": self._next_batch}

  def restore(self, state: dict[str, int]) -> None:
    """Goes on as after `state`, at once wherever that is; hosts, threads and chunk may be others than they were."""
    self.close()
    self._next_batch = state["next_batch"]
    self._batches = self._deliver(self._next_batch)

  def close(self) -> None:
    """Stops the threads and processes that read ahead."""
    if self._source is not None:
      self._source.close()
      self._source = None

  def _deliver(self, first: int) -> Iterator[Batch]:
    blocks = _Blocks(self._loader, self._plan, self._rows, first=first, size=self._block_size, num=_FOREVER,
                     with_index=False)
    self._source = _read_ahead(blocks, **self._threads)
    for block, broken in self._source:
      self.broken.add(block["mask"].size, [Broken(*record) for record in broken])
      for at in range(0, self._block_size, self._chunk):
        part = at if self._chunk == 1 else slice(at, at + self._chunk)
        yield {name: array[part] for name, array in block.items()}


def evaluation_batches(examples: Examples, transforms: Sequence[Transform], plan: BatchPlan, *,
                       rows: slice = slice(None), num_threads: int = 2, num_workers: int = 0,
                       broken: BrokenRecords | None = None) -> Iterator[Batch]:
  """The batches of a plan's first epoch; all hosts get as many.

  Beside the features and `mask` a batch has `index` (B,) int64, the examples' numbers (-1 where padded), by which texts
  and keys are found that are no arrays.

  Args:
    examples: what is read.
    transforms: what is done to them, in their form without random numbers.
    plan: InOrder or a like one: every example exactly once, the last batch padded.
    rows, num_threads, num_workers: see Pipeline.
    broken: counts the broken examples; None allows a share of 0.01 of them.

  Raises:
    DataError: the examples cannot be loaded, or too many are broken.
  """
  broken = broken or BrokenRecords(0.01)
  loader = Loader(examples, transforms, None, tuple(plan.lengths[-1]))
  blocks = _Blocks(loader, plan, rows, first=0, size=1, num=plan.batches_per_epoch, with_index=True)
  source = _read_ahead(blocks, num_threads, num_workers)
  try:
    for block, records in source:
      broken.add(int((block["index"] >= 0).sum()), [Broken(*record) for record in records])
      yield {name: array[0] for name, array in block.items()}
  finally:
    source.close()
