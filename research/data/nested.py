"""Part of another source's examples: small parts lie within larger ones, and classes keep their shares."""

import dataclasses
import functools

import numpy as np
from etils import epath

from research.data.examples import Examples, Subset
from research.data.sources import Source

_BLOCK = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nested(Source):
  """The first `size` of another source's examples in a random order, in which every beginning has each class by its share.

  Attributes:
    source: all examples.
    size: how many are used.
    seed: of the order.
    labels: features that may hold the class, the first that is there counts; without one the order is random alone.
  """

  source: Source
  size: int
  seed: int = 0
  labels: tuple[str, ...] = ("labels", "label")

  def open_all(self, data_dir: str | None) -> Examples:
    data_dir = None if data_dir is None else str(data_dir)
    order = _order(self.source, self.seed, self.labels, data_dir)
    if not 1 <= self.size <= len(order):
      raise ValueError(f"size={self.size}: must be from 1 to {len(order)}, the examples there are")
    return Subset(_opened(self.source, data_dir), order[:self.size])

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return self.source.class_names(data_dir)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return self.source.files(data_dir)


@functools.lru_cache(maxsize=2)
def _opened(source: Source, data_dir: str | None) -> Examples:
  """All parts of a source have it open once: a learning curve's, one after the other."""
  return source.open(data_dir)


@functools.lru_cache(maxsize=32)
def _order(source: Source, seed: int, names: tuple[str, ...], data_dir: str | None) -> np.ndarray:
  examples, rng = _opened(source, data_dir), np.random.default_rng(seed)
  order = rng.permutation(len(examples))
  labels = _labels(examples, names)
  if labels is None:
    return order
  place = np.empty(len(order))  # of an example among its class, from 0 to 1, not all classes in step
  for label in np.unique(labels):
    own = order[labels[order] == label]
    place[own] = (np.arange(len(own)) + rng.random()) / len(own)
  return order[np.argsort(place[order], kind="stable")]


def _labels(examples: Examples, names: tuple[str, ...]) -> np.ndarray | None:
  """The class of every example, or None where there is none."""
  first = examples.read(np.arange(1))
  of = {name: np.asarray(first[name]) for name in names if name in first}
  name = next((name for name, value in of.items() if value.shape == (1,) and value.dtype.kind in "iu"), None)
  if name is None:
    return None
  starts = range(0, len(examples), _BLOCK)
  return np.concatenate([np.asarray(examples.read(np.arange(i, min(i + _BLOCK, len(examples))))[name]) for i in starts])
