"""Batches of examples of like lengths: what is padded to a few fixed lengths is compiled a few times and wastes little."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from research.config import ConfigError
from research.data.examples import warn_once
from research.data.plan import BucketedBatches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Buckets:
  """The lengths that ragged features are padded to.

      Buckets(features=("source", "targets"), lengths=((16, 16), (32, 32), (64, 64)))

  An example goes to the first bucket in which all its features fit. A batch of the last bucket has batch_size examples;
  one of another has as many times that as its lengths, added up, go into the last one's.

  Attributes:
    features: the ragged features; each gets a feature `<name>_length` beside it.
    lengths: for each bucket, a length for each feature; every bucket at least as long as the one before.
    longer: what happens to training examples that fit nowhere. Those of an evaluation are always truncated, as each counts.
  """

  features: tuple[str, ...]
  lengths: tuple[tuple[int, ...], ...]
  longer: Literal["truncate", "drop"] = "truncate"

  def __post_init__(self):
    if not self.features or not self.lengths:
      raise ConfigError(f"buckets: features={self.features}, lengths={self.lengths}: give at least one of each")
    for row in self.lengths:
      if len(row) != len(self.features) or min(row) < 1:
        raise ConfigError(f"buckets.lengths: {row} must be {len(self.features)} numbers of 1 or more, one for each of "
                          f"{', '.join(self.features)}")
    for shorter, longer in zip(self.lengths, self.lengths[1:]):
      if shorter == longer or any(a > b for a, b in zip(shorter, longer)):
        raise ConfigError(f"buckets.lengths: {longer} must be at least as long as {shorter} in every feature and longer in one")

  @property
  def named(self) -> tuple[dict[str, int], ...]:
    """For each bucket, feature to length."""
    return tuple(dict(zip(self.features, row)) for row in self.lengths)

  def rows(self, batch_size: int) -> tuple[int, ...]:
    """The examples of a batch of each bucket, where the last has `batch_size`."""
    costs = [sum(row) for row in self.lengths]
    return tuple(batch_size * (costs[-1] // cost) for cost in costs)

  def assign(self, lengths: Mapping[str, np.ndarray], split: str, *, drop: bool) -> np.ndarray:
    """The bucket (N,) int16 of each example, -1 for those dropped; logs how many are dropped or truncated.

    Args:
      lengths: (N,) of every ragged feature, by name.
      split: what the log line calls the examples.
      drop: whether those that fit nowhere are dropped, or truncated.
    """
    lengths_NF = np.stack([lengths[name] for name in self.features], axis=1)
    bucket_N = np.zeros(len(lengths_NF), np.int16)
    for row in self.lengths:
      bucket_N += (lengths_NF > np.array(row)).any(axis=1)
    too_long = bucket_N == len(self.lengths)
    if num := int(too_long.sum()):
      what = "dropped" if drop else "truncated"
      most = ", ".join(f"{name} {length}" for name, length in zip(self.features, lengths_NF.max(axis=0)))
      allowed = ", ".join(f"{name} {length}" for name, length in zip(self.features, self.lengths[-1]))
      warn_once(f"{split}: {num} of {len(bucket_N)} examples ({num / len(bucket_N):.2%}) are {what}: longer than data.buckets "
                f"allows ({allowed}); the longest: {most}")
    bucket_N[too_long] = -1 if drop else len(self.lengths) - 1
    return bucket_N

  def plan(self, bucket_N: np.ndarray, batch_size: int, *, seed: int | None) -> BucketedBatches:
    """The batches; see BucketedBatches."""
    return BucketedBatches(bucket_N, self.named, self.rows(batch_size), seed=seed)
