"""Which examples make up which batch: an epoch's plan, worked out from indices alone, before anything is read."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np


class BatchPlan(Protocol):
  """Decides what batch k of epoch e is. The same on all hosts.

  Attributes:
    batch_size: examples of a batch, over all hosts; of the last bucket where there are several.
    batches_per_epoch: the number of batches of an epoch.
    lengths: for each bucket, the length that a ragged feature is padded to, by its name. One empty bucket without such
      features.
  """

  batch_size: int
  batches_per_epoch: int
  lengths: Sequence[Mapping[str, int]]

  def bucket(self, epoch: int, k: int) -> int:
    """The bucket of a batch."""
    ...

  def indices(self, epoch: int, k: int) -> np.ndarray:
    """The examples of a batch, int64, a multiple of batch_size (alike for all batches of a bucket); -1 is padding."""
    ...


class _OneShape:
  """Base of plans whose batches all have one shape."""

  lengths: Sequence[Mapping[str, int]] = ({},)

  def bucket(self, epoch: int, k: int) -> int:
    del epoch, k
    return 0


class FixedBatches(_OneShape):
  """Batches of a fixed number of examples, each at most once an epoch; what does not fill the last batch is left out.

  Args:
    num_examples: of the data set.
    batch_size: over all hosts.
    seed: of the order.
    shuffle: a new random order every epoch; the order of the data otherwise.

  Raises:
    ValueError: there are fewer examples than one batch takes.
  """

  def __init__(self, num_examples: int, batch_size: int, *, seed: int, shuffle: bool = True):
    self.batch_size, self.batches_per_epoch = batch_size, _whole_batches(num_examples, batch_size)
    self._num_examples, self._seed, self._shuffle = num_examples, seed, shuffle

  def indices(self, epoch: int, k: int) -> np.ndarray:
    start, stop = k * self.batch_size, (k + 1) * self.batch_size
    if not self._shuffle:
      return np.arange(start, stop)
    return _permutation(self._num_examples, self._seed, epoch)[start:stop]


class RandomBatches(_OneShape):
  """Every example of every batch is drawn at random, whatever was drawn before; an epoch has as many as there are examples.

  Needs no memory for the order, however many examples there are.

  Args:
    num_examples: of the data set.
    batch_size: over all hosts.
    seed: of the draws.

  Raises:
    ValueError: there are fewer examples than one batch takes.
  """

  def __init__(self, num_examples: int, batch_size: int, *, seed: int):
    self.batch_size, self.batches_per_epoch = batch_size, _whole_batches(num_examples, batch_size)
    self._num_examples, self._seed = num_examples, seed

  def indices(self, epoch: int, k: int) -> np.ndarray:
    return _random(self._seed, epoch, k + 1).randint(self._num_examples, size=self.batch_size, dtype=np.int64)


class InOrder(_OneShape):
  """One epoch in the order of the data, every example exactly once; the last batch is padded."""

  def __init__(self, num_examples: int, batch_size: int):
    self.batch_size, self.batches_per_epoch = batch_size, math.ceil(num_examples / batch_size)
    self._num_examples = num_examples

  def indices(self, epoch: int, k: int) -> np.ndarray:
    indices = np.arange(k * self.batch_size, (k + 1) * self.batch_size)
    return np.where(indices < self._num_examples, indices, -1)


class BucketedBatches:
  """Batches of examples of like lengths: every example of a bucket exactly once an epoch.

  What does not fill a batch of its bucket goes up to the next one, where it fits as well, so that only one batch of an
  epoch, the last bucket's, has padding. How many batches there are of each bucket follows from how many examples it has, so
  all epochs have as many.

  Args:
    bucket_N: the bucket of each example, -1 for those that are left out.
    lengths: see BatchPlan; ascending.
    rows: examples of a batch of each bucket, over all hosts; each a multiple of the last.
    seed: of the order of examples and of batches, new in every epoch; None takes both as the data are stored.

  Raises:
    ValueError: all examples are left out.
  """

  def __init__(self, bucket_N: np.ndarray, lengths: Sequence[Mapping[str, int]], rows: Sequence[int], *, seed: int | None):
    assert len(lengths) == len(rows) and all(r % rows[-1] == 0 for r in rows), (lengths, rows)
    self._bucket_N, self.lengths, self._rows, self._seed = bucket_N, lengths, rows, seed
    self.batch_size = rows[-1]
    counts, rest = np.bincount(bucket_N[bucket_N >= 0], minlength=len(rows)), 0
    self._num_batches = []
    for count, size in zip(counts.tolist(), rows):
      num, rest = divmod(count + rest, size)
      self._num_batches.append(num)
    self._num_batches[-1] += bool(rest)
    self.batches_per_epoch = sum(self._num_batches)
    if not self.batches_per_epoch:
      raise ValueError("no example fits into a bucket")

  def bucket(self, epoch: int, k: int) -> int:
    return _batches(self, epoch)[0][k]

  def indices(self, epoch: int, k: int) -> np.ndarray:
    buckets, starts, order = _batches(self, epoch)
    return order[starts[k]:starts[k] + self._rows[buckets[k]]]

  def batches(self, epoch: int) -> tuple[list[int], list[int], np.ndarray]:
    """The bucket of each batch of an epoch, where its examples begin in the third, and all of the examples."""
    num, seed = len(self._bucket_N), self._seed
    examples = np.arange(num) if seed is None else _permutation(num, seed, epoch)
    by_bucket = np.argsort(self._bucket_N[examples], kind="stable")
    left_out = np.count_nonzero(self._bucket_N < 0)
    # Sorted by bucket, cutting off full batches leaves the rest of a bucket at the front of the next.
    buckets = np.repeat(np.arange(len(self._rows)), self._num_batches)
    sizes = np.array(self._rows)[buckets]
    padding = np.full(sizes.sum() - (num - left_out), -1)
    order = np.concatenate([examples[by_bucket[left_out:]], padding])
    starts = np.cumsum(sizes) - sizes
    if seed is None:
      batches = np.argsort(order[starts], kind="stable")
    else:
      batches = _random(seed, epoch, 1).permutation(len(buckets))
    return buckets[batches].tolist(), starts[batches].tolist(), order


@functools.lru_cache(maxsize=4)  # batches are read ahead over the border of two epochs, of training and of evaluation
def _batches(plan: BucketedBatches, epoch: int) -> tuple[list[int], list[int], np.ndarray]:
  return plan.batches(epoch)


@functools.lru_cache(maxsize=2)  # as above
def _permutation(num: int, seed: int, epoch: int) -> np.ndarray:
  return _random(seed, epoch).permutation(num)


def _random(*seeds: int) -> np.random.RandomState:
  # RandomState's methods are frozen: the order of a seed stays the same over versions of NumPy. A last seed of 0 is as none.
  return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seeds)))


def _whole_batches(num_examples: int, batch_size: int) -> int:
  if not 1 <= batch_size <= num_examples:
    raise ValueError(f"batch_size={batch_size}: must be from 1 to {num_examples}, the number of training examples")
  return num_examples // batch_size
