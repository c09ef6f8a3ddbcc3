"""Reads and prepares many examples at once; examples that break become masked zeros and are counted. N: examples."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from absl import logging

from research.data.examples import DataError, Examples
from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import MissingFeatureError, Transform, apply, padded, stacked

_PROBES = 10
_MIN_READ = 100


@dataclasses.dataclass(frozen=True)
class Broken:
  """An example that could not be read, and the error in one line."""

  key: str
  error: str


@dataclasses.dataclass(frozen=True)
class Feature:
  """Shape and type of a feature of one example; of a ragged one the shape of what stands at each of its places."""

  shape: tuple[int, ...]
  dtype: np.dtype
  ragged: bool = False


class Loader:
  """Turns indices into prepared features.

  Args:
    examples: what is read.
    transforms: what is done to them.
    seed: of the transforms' random numbers; None for evaluation, where they use none.
    ragged: the features of unequal lengths, which are padded; each gets a `<name>_length` (N,) int32 beside it.

  Attributes:
    spec: the features of one example, found by loading the first that is not broken; without the mask.

  Raises:
    DataError: there are no examples, or none of the first ones can be loaded.
  """

  def __init__(self, examples: Examples, transforms: Sequence[Transform], seed: int | None, ragged: Sequence[str] = ()):
    self._examples, self._transforms, self._seed = examples, tuple(transforms), seed
    self._ragged = tuple(ragged)
    self.spec: dict[str, Feature] = {}
    self.spec = self._probe()

  def load(self, indices_N: np.ndarray, epochs_N: np.ndarray,
           lengths: Mapping[str, int] = MappingProxyType({})) -> tuple[dict[str, np.ndarray], list[Broken]]:
    """Loads examples, -1 being padding; returns features with a leading N and `mask` (N,) float32, and what broke.

    `lengths` are those that ragged features are padded to; what is longer is cut.
    """
    real, broken = indices_N >= 0, []
    features = {}
    if real.any():
      try:
        features = self._prepare(indices_N[real], epochs_N[real], lengths)
      except Exception:  # whatever a decoder raises on a damaged record; the broken ones are told apart one by one
        real, broken = self._sort_out(indices_N, epochs_N, real, lengths)
        features = self._prepare(indices_N[real], epochs_N[real], lengths) if real.any() else {}
    mask = real.astype(np.float32)
    if real.all():
      return {**features, "mask": mask}, broken
    whole = {name: np.zeros((len(real), *shape), dtype) for name, (shape, dtype) in shapes(self.spec, lengths).items()}
    for name, array in features.items():
      whole[name][real] = array
    return {**whole, "mask": mask}, broken

  def _prepare(self, indices: np.ndarray, epochs: np.ndarray, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    random = None if self._seed is None else Randomness.of(self._seed, epochs, indices)
    features = apply(self._transforms, self._examples.read(indices), random)
    arrays = {}
    for name, values in features.items():
      if name in self._ragged:
        arrays[name], arrays[f"{name}_length"] = padded(values, name, lengths[name])
      else:
        arrays[name] = stacked(values, name)
    for name, (shape, dtype) in shapes(self.spec, lengths).items():
      if (arrays[name].shape[1:], arrays[name].dtype) != (shape, dtype):
        raise ValueError(f"feature {name!r} is {arrays[name].dtype} {arrays[name].shape[1:]}, others are {dtype} {shape}")
    return arrays

  def _sort_out(self, indices: np.ndarray, epochs: np.ndarray, real: np.ndarray,
                lengths: Mapping[str, int]) -> tuple[np.ndarray, list[Broken]]:
    good, broken = real.copy(), []
    for n in np.flatnonzero(real):
      try:
        self._prepare(indices[n:n + 1], epochs[n:n + 1], lengths)
      except Exception as error:
        good[n] = False
        broken.append(Broken(self._examples.key(int(indices[n])), _one_line(error)))
    return good, broken

  def _probe(self) -> dict[str, Feature]:
    if not len(self._examples):
      raise DataError("there are no examples")
    for index in range(min(_PROBES, len(self._examples))):
      try:
        arrays = self._prepare(np.array([index]), np.array([0]), dict.fromkeys(self._ragged, 1))
      except MissingFeatureError as error:
        raise DataError(str(error)) from error
      except Exception as error:
        cause = error
        continue
      assert not {"mask", "index"} & set(arrays), "the names mask and index are the pipeline's own"
      assert set(self._ragged) <= set(arrays), f"ragged are {self._ragged}, but there are only {', '.join(arrays)}"
      added = {f"{name}_length" for name in self._ragged}
      return {name: Feature(array.shape[2:], array.dtype, ragged=True) if name in self._ragged
              else Feature(array.shape[1:], array.dtype) for name, array in arrays.items() if name not in added}
    raise DataError(f"none of the first {index + 1} examples can be loaded; {self._examples.key(index)}: "
                    f"{_one_line(cause)}") from cause


def shapes(spec: Mapping[str, Feature], lengths: Mapping[str, int]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
  """Shape and type, for one example, of all that is loaded when ragged features are padded to `lengths`; without mask."""
  found = {}
  for name, feature in spec.items():
    found[name] = ((lengths[name], *feature.shape) if feature.ragged else feature.shape, feature.dtype)
    if feature.ragged:
      found[f"{name}_length"] = ((), np.dtype(np.int32))
  return found


class BrokenRecords:
  """Counts what was read and what of it was broken.

  Args:
    max_share: the largest share of broken examples that is no error, checked after 100 examples.

  Attributes:
    num_read: examples read so far, an example anew in every epoch.
    num_broken: how many of them were broken.
    first: the first 1,000 different ones, key to error.
  """

  def __init__(self, max_share: float):
    self.num_read, self.num_broken, self.first = 0, 0, {}
    self._max_share, self._report_at = max_share, 1

  def add(self, num_read: int, broken: Sequence[Broken]) -> None:
    """Counts a batch. Raises DataError when more than the allowed share is broken."""
    self.num_read += num_read
    self.num_broken += len(broken)
    for record in broken:
      if len(self.first) < 1000:
        self.first.setdefault(record.key, record.error)
    if self.num_read >= _MIN_READ and self.num_broken > self._max_share * self.num_read:
      raise DataError(f"{self}; allowed is a share of {self._max_share:g}")
    if broken and self.num_broken >= self._report_at:
      logging.warning("%s; they are masked", self)
      self._report_at = 10 * self.num_broken

  def __str__(self):
    shown = ", ".join(f"{key} ({error})" for key, error in list(self.first.items())[:3])
    return f"{self.num_broken} of {self.num_read} examples could not be read: {shown}"


def _one_line(error: Exception) -> str:
  return f"{type(error).__name__}: {' '.join(str(error).split())}"
