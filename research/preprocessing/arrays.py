"""Transforms of features that are arrays of numbers, and of the set of features itself."""

import dataclasses
import math
from typing import Literal

import numpy as np

from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, stacked, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rename(Transform):
  """Gives features new names; all others stay.

  Attributes:
    pairs: (old, new) names.
  """

  pairs: tuple[tuple[str, str], ...]

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    for old, _ in self.pairs:
      take(features, old, self)
    return self._renamed(features)

  def lengths(self, lengths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return self._renamed(lengths)

  def _renamed(self, features: dict) -> dict:
    names = dict(self.pairs)
    return {names.get(name, name): value for name, value in features.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Select(Transform):
  """Keeps these features only.

  Attributes:
    names: the features that stay.
  """

  names: tuple[str, ...]

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {name: take(features, name, self) for name in self.names}

  def lengths(self, lengths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in lengths.items() if name in self.names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Elementwise(Transform):
  """Base of transforms that map each of some features to an array.

  Attributes:
    names: the features to change.
  """

  names: tuple[str, ...] = ("inputs",)

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    changed = {}
    for number, name in enumerate(self.names):
      array = stacked(take(features, name, self), name)
      changed[name] = self.change(array, random and random.fold(number))
    return {**features, **changed}

  def change(self, array: np.ndarray, random: Randomness | None) -> np.ndarray:
    raise TypeError(f"{type(self).__name__} defines no change")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cast(_Elementwise):
  """Changes the type of numbers.

  Attributes:
    dtype: the new type.
  """

  dtype: Literal["float32", "float64", "int32", "uint8", "bool"] = "float32"

  def change(self, array: np.ndarray, random: Randomness | None) -> np.ndarray:
    return array.astype(self.dtype, copy=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(_Elementwise):
  """x * factor + offset, as float32 unless x is float64.

  Attributes:
    factor: what the values are multiplied by.
    offset: what is added afterwards.
  """

  factor: float = 1.0
  offset: float = 0.0

  def change(self, array: np.ndarray, random: Randomness | None) -> np.ndarray:
    dtype = _float_of(array)
    return array.astype(dtype, copy=False) * dtype(self.factor) + dtype(self.offset)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standardize(_Elementwise):
  """(x - mean) / std, as float32 unless x is float64.

  Attributes:
    mean: one number, or one for each entry of the last dim (channel).
    std: as many.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]

  def __post_init__(self):
    if len(self.mean) != len(self.std) or not self.mean:
      raise ValueError(f"Standardize: {len(self.mean)} means and {len(self.std)} deviations, give as many of both")
    if not all(std > 0 for std in self.std):
      raise ValueError(f"Standardize: std={self.std}, every deviation must be above 0")

  def change(self, array: np.ndarray, random: Randomness | None) -> np.ndarray:
    dtype = _float_of(array)
    return (array.astype(dtype, copy=False) - np.array(self.mean, dtype)) / np.array(self.std, dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reshape(_Elementwise):
  """Changes the shape of each example.

  Attributes:
    shape: of one example, without the batch dim; (-1,) flattens it.
  """

  shape: tuple[int, ...] = (-1,)

  def change(self, array: np.ndarray, random: Randomness | None) -> np.ndarray:
    shape = self.shape
    if -1 in shape:  # worked out from one example, as an empty batch would leave it open
      known = -math.prod(shape)
      shape = tuple(math.prod(array.shape[1:]) // known if size == -1 else size for size in shape)
    return array.reshape(len(array), *shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(_Elementwise):
  """Adds normal noise in training, nothing otherwise.

  Attributes:
    scale: standard deviation of the noise.
  """

  scale: float

  def change(self, array: np.ndarray, random: Randomness | None) -> np.ndarray:
    if random is None:
      return array
    noise = random.normal(math.prod(array.shape[1:])).reshape(array.shape)
    return array + (self.scale * noise).astype(_float_of(array))


def _float_of(array: np.ndarray) -> type:
  return np.float64 if array.dtype == np.float64 else np.float32
