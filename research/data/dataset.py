"""The data of an experiment as one configuration, and the same opened."""

import dataclasses
import math
from collections.abc import Iterator

import jax
import numpy as np

from research.augmentation.base import OnDevice
from research.config import ConfigError, detail
from research.data.examples import DataError, Examples
from research.data.loading import BrokenRecords, Feature, Loader
from research.data.pipeline import Pipeline, evaluation_batches
from research.data.plan import FixedBatches
from research.data.prefetch import DeviceBatch, Prefetch, own_rows, transfer
from research.data.sources import Source
from research.preprocessing.transform import Transform


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
  """What is learned from and what is evaluated on.

  Attributes:
    train: the training examples; None where nothing is trained.
    evaluation: split name to its examples.
    transforms: done to the examples of all splits, in this order; those that augment do so in training only.
    on_device: done to batches on the devices, inside the compiled step: float work.
    batch_size: training examples a step, over all devices.
    eval_batch_size: examples an evaluation step, over all devices.
    shuffle: whether training takes the examples in a new random order each epoch, or as they are stored.
    num_threads: threads that read ahead.
    num_workers: processes that read ahead, each with num_threads; worth it on hosts with many cores only.
    max_broken_share: the share of examples that may fail to be read before that is an error.
  """

  train: Source | None
  evaluation: dict[str, Source]
  transforms: tuple[Transform, ...] = ()
  on_device: tuple[OnDevice, ...] = ()
  batch_size: int
  eval_batch_size: int = 256
  shuffle: bool = True
  num_threads: int = detail(2)
  num_workers: int = detail(0)
  max_broken_share: float = 0.01

  def __post_init__(self):
    for name, least in (("batch_size", 1), ("eval_batch_size", 1), ("num_threads", 0), ("num_workers", 0)):
      if getattr(self, name) < least:
        raise ConfigError(f"{name}={getattr(self, name)}: must be {least} or more")
    if self.num_workers and not self.num_threads:
      raise ConfigError("num_threads=0: worker processes need at least one thread each")
    if not 0 <= self.max_broken_share <= 1:
      raise ConfigError(f"max_broken_share={self.max_broken_share}: must be from 0 to 1")

  def open(self, data_dir: str | None) -> "Opened":
    """Opens all sources and loads one example of each.

    Args:
      data_dir: the folder that file names refer to, local or remote; None where no data folder was given.

    Raises:
      DataError: data are missing or damaged, or the splits differ in their features.
      ConfigError: a training batch is larger than the training set.
    """
    train = None if self.train is None else self.train.open(data_dir)
    evaluation = {name: source.open(data_dir) for name, source in self.evaluation.items()}
    specs = {name: self._probe(name, examples, None) for name, examples in evaluation.items()}
    if train is not None:
      specs = {"train": self._probe("train", train, 0), **specs}
      self._plan(train, 0)
    if not specs:
      raise ConfigError("data: there is neither a training nor an evaluation set")
    first, *others = specs
    for other in others:
      if specs[other] != specs[first]:
        raise DataError(f"the splits differ: {first} has {_shown(specs[first])}; {other} has {_shown(specs[other])}")
    return Opened(train=train, evaluation=evaluation, features=specs[first])

  def spec(self, opened: "Opened") -> dict[str, jax.ShapeDtypeStruct]:
    """Every array of a training batch over all devices: batch dim first, with the type it has on a device, and mask."""
    features = {**opened.features, "mask": Feature((), np.dtype(np.float32))}
    return {name: jax.ShapeDtypeStruct((self.batch_size, *f.shape), jax.dtypes.canonicalize_dtype(f.dtype))
            for name, f in features.items()}

  def training(self, opened: "Opened", *, seed: int, chunk: int = 1, state: dict[str, int] | None = None,
               sharding: jax.sharding.Sharding | None = None) -> Prefetch:
    """The endless training batches.

    Args:
      opened: these data.
      seed: of the order and of the transforms' random numbers.
      chunk: how many batches come at a time; above 1 they are stacked (chunk, batch_size, ...).
      state: goes on after the batch at which it was taken, rather than at the first.
      sharding: of the arrays of a batch, over the devices of all hosts; None leaves them in memory.

    Raises:
      ConfigError: the devices do not divide the batch.
    """
    assert opened.train is not None, "there are no training data"
    where = {"batch_size": self.batch_size, "chunked": chunk > 1}
    if sharding is not None:
      num_parts = _num_parts(sharding, chunked=chunk > 1)
      if self.batch_size % num_parts:
        raise ConfigError(f"data.batch_size={self.batch_size}: must be divisible by {num_parts}, the number of devices "
                          "that share a batch")
    pipeline = Pipeline(
        opened.train, self.transforms, self._plan(opened.train, seed), seed=seed, rows=own_rows(sharding, **where),
        chunk=chunk, num_threads=self.num_threads, num_workers=self.num_workers, max_broken_share=self.max_broken_share)
    batches = Prefetch(pipeline, transfer(sharding, **where))
    if state is not None:
      batches.restore(state)
    return batches

  def evaluating(self, opened: "Opened", split: str, *,
                 sharding: jax.sharding.Sharding | None = None) -> Iterator[DeviceBatch]:
    """Every example of a split exactly once, in order; see evaluation_batches.

    Batches grow to the next multiple of the number of devices that share them, which changes no result.
    """
    size = self.eval_batch_size
    if sharding is not None:
      size = math.ceil(size / (parts := _num_parts(sharding))) * parts
    place = transfer(sharding, size)
    batches = evaluation_batches(
        opened.evaluation[split], self.transforms, size, rows=own_rows(sharding, size), num_threads=self.num_threads,
        num_workers=self.num_workers, broken=BrokenRecords(self.max_broken_share))
    return map(place, batches)

  def _probe(self, name: str, examples: Examples, seed: int | None) -> dict[str, Feature]:
    try:
      return Loader(examples, self.transforms, seed).spec
    except DataError as error:
      raise DataError(f"{name} data: {error}") from error

  def _plan(self, train: Examples, seed: int) -> FixedBatches:
    try:
      return FixedBatches(len(train), self.batch_size, seed=seed, shuffle=self.shuffle)
    except ValueError as error:
      raise ConfigError(f"data.{error}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
  """Data whose sources are open.

  Attributes:
    train: the training examples, or None.
    evaluation: split name to its examples.
    features: of one example, after the transforms.
  """

  train: Examples | None
  evaluation: dict[str, Examples]
  features: dict[str, Feature]


def _num_parts(sharding: jax.sharding.Sharding, *, chunked: bool = False) -> int:
  """Into how many parts the batch dim is cut."""
  num = len(sharding.device_set)
  return num // sharding.shard_shape((num, num))[1 if chunked else 0]


def _shown(features: dict[str, Feature]) -> str:
  return ", ".join(f"{name} {f.dtype} {f.shape}" for name, f in features.items())
