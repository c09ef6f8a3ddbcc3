"""What every preprocessing step is: a frozen value that maps the features of a batch to new features.

Training, evaluation, an exported bundle and a server run the same steps. `random` is None outside training: a step that
augments then does nothing, or its deterministic form (a centre crop).
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from research.config import UserError
from research.preprocessing.randomness import Randomness

# A feature of a batch: an array with a leading batch dim, or a list with a value for each example.
Features = dict[str, np.ndarray | list]


class MissingFeatureError(UserError):
  """A transform names a feature that is not there: a mistake in the configuration."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transform:
  """Base of all transforms."""

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    """Returns new features; the given ones are left as they are."""
    raise TypeError(f"{type(self).__name__} defines no __call__")

  def at(self, folder: pathlib.Path) -> "Transform":
    """The same, with the files that it needs (a tokenizer's) in this folder. The base needs none."""
    return self

  def lengths(self, lengths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The lengths (N,) of the ragged features afterwards, from those before; where chance decides, the most they can be.

    What makes up a batch is decided by these, before anything is read. The base leaves them as they are.
    """
    return lengths


def take(features: Features, name: str, transform: Transform) -> np.ndarray | list:
  """The named feature. Raises MissingFeatureError."""
  if name not in features:
    raise MissingFeatureError(f"{type(transform).__name__}: there is no feature {name!r}, only {', '.join(features)}")
  return features[name]


def stacked(values: np.ndarray | list, name: str) -> np.ndarray:
  """The values as one array with a leading batch dim.

  Raises:
    ValueError: they are no numbers, or of different shapes.
  """
  if isinstance(values, np.ndarray):
    array = values
  else:
    shapes = {np.shape(value) for value in values}
    if len(shapes) > 1:
      shown = " and ".join(map(str, sorted(shapes)[:2]))
      raise ValueError(f"feature {name!r}: examples have different shapes, {shown}; pad, crop or resize them")
    array = np.asarray(values)
  if array.dtype.kind not in "biufc":
    raise ValueError(f"feature {name!r} is no number but {array.dtype}; encode it, or leave it out with Select")
  return array


def padded(values: np.ndarray | list, name: str, length: int) -> tuple[np.ndarray, np.ndarray]:
  """Values (T, ...) of unequal lengths as one array (B, length, ...) with zeros behind them, and their lengths (B,) int32.

  Raises:
    ValueError: they are no numbers, or differ in more than their length.
  """
  arrays = [np.asarray(value)[:length] for value in values]
  kinds = {(array.shape[1:], array.dtype) for array in arrays}
  if len(kinds) > 1:
    shown = " and ".join(sorted(f"{dtype} {shape}" for shape, dtype in kinds)[:2])
    raise ValueError(f"feature {name!r}: examples differ in more than their length, {shown}")
  (shape, dtype), = kinds
  if arrays[0].ndim == 0 or dtype.kind not in "biufc":
    raise ValueError(f"feature {name!r} is no sequence of numbers but {dtype} of {arrays[0].ndim} dims; encode it")
  out = np.zeros((len(arrays), length, *shape), dtype)
  for row, array in zip(out, arrays):
    row[:len(array)] = array
  return out, np.array([len(array) for array in arrays], np.int32)


def apply(transforms: Sequence[Transform], features: Features, random: Randomness | None) -> Features:
  """Runs the transforms in their order, each with random numbers of its own."""
  for position, transform in enumerate(transforms):
    features = transform(features, random and random.fold(position))
  return features
