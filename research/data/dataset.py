"""The data of an experiment as one configuration, and the same opened."""

import dataclasses
import math
from collections.abc import Iterator

import jax
import numpy as np

from research.augmentation.base import OnDevice
from research.config import ConfigError, detail
from research.data.buckets import Buckets
from research.data.examples import DataError, Examples
from research.data.loading import BrokenRecords, Feature, Loader, shapes
from research.data.pipeline import Pipeline, evaluation_batches
from research.data.plan import BatchPlan, FixedBatches, InOrder, RandomBatches
from research.data.prefetch import DeviceBatch, Prefetch, own_rows, transfer
from research.data.sources import Source
from research.preprocessing.text.base import digest
from research.preprocessing.transform import Transform


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
  """What is learned from and what is evaluated on.

  Attributes:
    train: the training examples; None where nothing is trained.
    evaluation: split name to its examples.
    transforms: done to the examples of all splits, in this order; those that augment do so in training only.
    on_device: done to batches on the devices, inside the compiled step: float work.
    batch_size: training examples a step, over all devices; of the longest bucket where there are buckets.
    eval_batch_size: examples an evaluation step, likewise.
    buckets: the lengths that ragged features are padded to; None where there are none.
    shuffle: whether training takes the examples in a new random order each epoch, or as they are stored.
    replacement: whether training draws every example at random, whatever was drawn before, rather than each once an epoch.
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
  buckets: Buckets | None = None
  shuffle: bool = True
  replacement: bool = False
  num_threads: int = detail(2)
  num_workers: int = detail(0)
  max_broken_share: float = 0.01

  def __post_init__(self):
    for name, least in (("batch_size", 1), ("eval_batch_size", 1), ("num_threads", 0), ("num_workers", 0)):
      if getattr(self, name) < least:
        raise ConfigError(f"{name}={getattr(self, name)}: must be {least} or more")
    if self.num_workers and not self.num_threads:
      raise ConfigError("num_threads=0: worker processes need at least one thread each")
    if self.replacement and (self.buckets is not None or not self.shuffle):
      raise ConfigError("replacement=True: goes with shuffle=True and without buckets only")
    if not 0 <= self.max_broken_share <= 1:
      raise ConfigError(f"max_broken_share={self.max_broken_share}: must be from 0 to 1")

  def open(self, data_dir: str | None) -> "Opened":
    """Opens all sources and loads one example of each.

    Args:
      data_dir: the folder that file names refer to, local or remote; None where no data folder was given.

    Raises:
      DataError: data are missing or damaged, or the splits differ in their features or tokenizers.
      ConfigError: a training batch is larger than the training set, or ragged features have no buckets.
    """
    train = None if self.train is None else self.train.open(data_dir)
    evaluation = {name: source.open(data_dir) for name, source in self.evaluation.items()}
    specs = {name: self._probe(name, examples, None) for name, examples in evaluation.items()}
    if train is not None:
      specs = {"train": self._probe("train", train, 0), **specs}
    if not specs:
      raise ConfigError("data: there is neither a training nor an evaluation set")
    first, *others = specs
    for other in others:
      if specs[other] != specs[first]:
        raise DataError(f"the splits differ: {first} has {_shown(specs[first])}; {other} has {_shown(specs[other])}")
    _check_tokenizers({**({} if train is None else {"train": train}), **evaluation})
    opened = Opened(
        train=train, evaluation=evaluation, features=specs[first],
        bucket=None if train is None or self.buckets is None else self._assign("train", train, self.buckets),
        evaluation_bucket={} if self.buckets is None else {
            name: self._assign(name, examples, self.buckets) for name, examples in evaluation.items()})
    if train is not None:
      self._plan(opened, 0)
    return opened

  def spec(self, opened: "Opened") -> dict[str, jax.ShapeDtypeStruct]:
    """Every array of a training batch over all devices: batch dim first, with the type it has on a device, and mask.

    Of the longest bucket where there are several.
    """
    return self.specs(opened)[-1]

  def specs(self, opened: "Opened") -> tuple[dict[str, jax.ShapeDtypeStruct], ...]:
    """As `spec`, for each bucket; one where there are none."""
    buckets = [(self.batch_size, {})]
    if self.buckets is not None:
      buckets = list(zip(self.buckets.rows(self.batch_size), self.buckets.named))
    return tuple(
        {name: jax.ShapeDtypeStruct((rows, *shape), jax.dtypes.canonicalize_dtype(dtype))
         for name, (shape, dtype) in {**shapes(opened.features, lengths), "mask": ((), np.dtype(np.float32))}.items()}
        for rows, lengths in buckets)

  def batches_per_epoch(self, opened: "Opened") -> int:
    """The training batches of an epoch, the same in every one."""
    return self._plan(opened, 0).batches_per_epoch

  def check_chunk(self, chunk: int) -> None:
    """Raises ConfigError if batches cannot be stacked, which those of several buckets cannot."""
    if chunk > 1 and self.buckets is not None and len(self.buckets.lengths) > 1:
      raise ConfigError(f"{chunk} batches at a time (training.steps_per_call) cannot be had from {len(self.buckets.lengths)} "
                        "data.buckets, whose shapes differ: give 1, or one bucket")

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
      ConfigError: the devices do not divide the batch, or batches of several buckets are to be stacked.
    """
    assert opened.train is not None, "there are no training data"
    self.check_chunk(chunk)
    where = {"batch_size": self.batch_size, "chunked": chunk > 1}
    if sharding is not None:
      num_parts = _num_parts(sharding, chunked=chunk > 1)
      if self.batch_size % num_parts:
        raise ConfigError(f"data.batch_size={self.batch_size}: must be divisible by {num_parts}, the number of devices "
                          "that share a batch")
    pipeline = Pipeline(
        opened.train, self.transforms, self._plan(opened, seed), seed=seed, rows=own_rows(sharding, **where),
        chunk=chunk, num_threads=self.num_threads, num_workers=self.num_workers, max_broken_share=self.max_broken_share)
    batches = Prefetch(pipeline, transfer(sharding, **where))
    if state is not None:
      batches.restore(state)
    return batches

  def evaluating(self, opened: "Opened", split: str, *,
                 sharding: jax.sharding.Sharding | None = None) -> Iterator[DeviceBatch]:
    """Every example of a split exactly once; see evaluation_batches.

    They come in order, but from several buckets in that of the batches' first examples. Batches grow to the next multiple of
    the number of devices that share them, which changes no result.
    """
    size = self.eval_batch_size
    if sharding is not None:
      size = math.ceil(size / (parts := _num_parts(sharding))) * parts
    place = transfer(sharding, size)
    examples, plan = opened.evaluation[split], InOrder(len(opened.evaluation[split]), size)
    if self.buckets is not None:
      plan = self.buckets.plan(opened.evaluation_bucket[split], size, seed=None)
    batches = evaluation_batches(
        examples, self.transforms, plan, rows=own_rows(sharding, size), num_threads=self.num_threads,
        num_workers=self.num_workers, broken=BrokenRecords(self.max_broken_share))
    return map(place, batches)

  def _probe(self, name: str, examples: Examples, seed: int | None) -> dict[str, Feature]:
    lengths, named = self._lengths(examples), () if self.buckets is None else self.buckets.features
    for ragged in lengths:
      if ragged not in named:
        raise ConfigError(f"data.buckets: {ragged!r} of the {name} data is of unequal lengths, and no bucket says what to pad "
                          "it to")
    for ragged in named:
      if ragged not in lengths:
        raise ConfigError(f"data.buckets.features: the lengths of {ragged!r} of the {name} data are not known; known are "
                          f"those of {', '.join(lengths) or 'none'}")
    try:
      return Loader(examples, self.transforms, seed, named).spec
    except DataError as error:
      raise DataError(f"{name} data: {error}") from error

  def _lengths(self, examples: Examples) -> dict[str, np.ndarray]:
    lengths = examples.lengths
    for transform in self.transforms:
      lengths = transform.lengths(lengths)
    return lengths

  def _assign(self, name: str, examples: Examples, buckets: Buckets) -> np.ndarray:
    return buckets.assign(self._lengths(examples), name, drop=name == "train" and buckets.longer == "drop")

  def _plan(self, opened: "Opened", seed: int) -> BatchPlan:
    assert opened.train is not None, "there are no training data"
    try:
      if self.buckets is not None:
        assert opened.bucket is not None, "opened with other settings"
        return self.buckets.plan(opened.bucket, self.batch_size, seed=seed if self.shuffle else None)
      if self.replacement:
        return RandomBatches(len(opened.train), self.batch_size, seed=seed)
      return FixedBatches(len(opened.train), self.batch_size, seed=seed, shuffle=self.shuffle)
    except ValueError as error:
      raise ConfigError(f"data.{error}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
  """Data whose sources are open.

  Attributes:
    train: the training examples, or None.
    evaluation: split name to its examples.
    features: of one example, after the transforms.
    bucket: of each training example, -1 for those dropped; None without buckets.
    evaluation_bucket: the same of each split; {} without buckets.
  """

  train: Examples | None
  evaluation: dict[str, Examples]
  features: dict[str, Feature]
  bucket: np.ndarray | None = None
  evaluation_bucket: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def _check_tokenizers(splits: dict[str, Examples]) -> None:
  """Raises DataError if a feature's ids do not mean the same in all splits."""
  seen: dict[str, tuple[str, str]] = {}
  for split, examples in splits.items():
    for name, tokenizer in examples.tokenizers.items():
      first, expected = seen.setdefault(name, (split, digest(tokenizer)))
      if digest(tokenizer) != expected:
        raise DataError(f"the splits differ: {first} and {split} have different tokenizers of {name!r}")


def _num_parts(sharding: jax.sharding.Sharding, *, chunked: bool = False) -> int:
  """Into how many parts the batch dim is cut."""
  num = len(sharding.device_set)
  return num // sharding.shard_shape((num, num))[1 if chunked else 0]


def _shown(features: dict[str, Feature]) -> str:
  return ", ".join(f"{name} {f.dtype} {f.shape}{' ragged' if f.ragged else ''}" for name, f in features.items())
