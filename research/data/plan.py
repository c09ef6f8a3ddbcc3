"""Which examples make up which batch: an epoch's plan, worked out from indices alone, before anything is read."""

import functools
import math
from typing import Protocol

import numpy as np


class BatchPlan(Protocol):
  """Decides what batch k of epoch e is. The same on all hosts.

  Attributes:
    batch_size: examples of a batch, over all hosts.
    batches_per_epoch: the number of batches of an epoch.
  """

  batch_size: int
  batches_per_epoch: int

  def indices(self, epoch: int, k: int) -> np.ndarray:
    """The examples (batch_size,) of a batch, int64; -1 is padding."""
    ...


class FixedBatches:
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
    if not 1 <= batch_size <= num_examples:
      raise ValueError(f"batch_size={batch_size}: must be from 1 to {num_examples}, the number of training examples")
    self.batch_size, self.batches_per_epoch = batch_size, num_examples // batch_size
    self._num_examples, self._seed, self._shuffle = num_examples, seed, shuffle

  def indices(self, epoch: int, k: int) -> np.ndarray:
    start, stop = k * self.batch_size, (k + 1) * self.batch_size
    if not self._shuffle:
      return np.arange(start, stop)
    return _permutation(self._num_examples, self._seed, epoch)[start:stop]


class InOrder:
  """One epoch in the order of the data, every example exactly once; the last batch is padded."""

  def __init__(self, num_examples: int, batch_size: int):
    self.batch_size, self.batches_per_epoch = batch_size, math.ceil(num_examples / batch_size)
    self._num_examples = num_examples

  def indices(self, epoch: int, k: int) -> np.ndarray:
    indices = np.arange(k * self.batch_size, (k + 1) * self.batch_size)
    return np.where(indices < self._num_examples, indices, -1)


@functools.lru_cache(maxsize=2)  # batches are read ahead over the border of two epochs
def _permutation(num: int, seed: int, epoch: int) -> np.ndarray:
  # RandomState's methods are frozen: the order of a seed stays the same over versions of NumPy.
  bits = np.random.MT19937(np.random.SeedSequence((seed, epoch)))
  return np.random.RandomState(bits).permutation(num)
