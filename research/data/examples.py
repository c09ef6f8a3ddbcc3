"""Examples that can be read at random: what a source opens and a pipeline reads.

`read` takes many indices at once: arrays in memory are then read without any Python for the single example.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from research.config import UserError
from research.preprocessing.text.base import Tokenizer
from research.preprocessing.transform import Features


class DataError(UserError):
  """Data that are missing or damaged: one line that names the file and what to do."""


@functools.cache
def warn_once(line: str) -> None:
  """Logs what is worth knowing of the data: once a process, however often they are opened."""
  logging.warning("%s", line)


class Examples:
  """Base of all random-access sets of examples.

  Attributes:
    in_memory: whether reading is plain indexing, so cheap that batches are best read many at a time.
  """

  in_memory: bool = False

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    """The length (N,) of every example of each ragged feature, by its name, without reading them; {} where none is ragged."""
    return {}

  @property
  def tokenizers(self) -> dict[str, Tokenizer]:
    """What made the numbers of a feature out of text, by its name."""
    return {}

  def __len__(self) -> int:
    raise TypeError(f"{type(self).__name__} defines no __len__")

  def read(self, indices: np.ndarray) -> Features:
    """Reads the examples `indices` (B,), each in 0..len-1, to arrays with a leading B or lists of B values."""
    raise TypeError(f"{type(self).__name__} defines no read")

  def raw(self, indices: np.ndarray) -> Features:
    """As `read`, before texts became numbers: what people read, and references. Encoded files may be left out."""
    return self.read(indices)

  def key(self, index: int) -> str:
    """The name by which a person finds the example: a file's name, an id, its number."""
    return str(index)


class Columns(Examples):
  """Examples in memory, a column for each feature.

  Args:
    columns: name to an array or a list; all of one length, at least one.
    keys: the name of each example; numbers if None.
  """

  in_memory = True

  def __init__(self, columns: Mapping[str, np.ndarray | list], keys: Sequence | np.ndarray | None = None):
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
      raise DataError(f"the features have different lengths: {', '.join(f'{k} {v}' for k, v in lengths.items())}")
    self._columns, self._keys, self._len = columns, keys, next(iter(lengths.values()))

  def __len__(self) -> int:
    return self._len

  def read(self, indices: np.ndarray) -> Features:
    return {name: column[indices] if isinstance(column, np.ndarray) else [column[i] for i in indices]
            for name, column in self._columns.items()}

  def key(self, index: int) -> str:
    return key_of(self._keys, index)


def key_of(keys: Sequence | np.ndarray | None, index: int) -> str:
  """The name of an example among these, or its number where there are none."""
  key = index if keys is None else keys[index]
  return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


class Subset(Examples):
  """Some examples of others, in the order of `indices`."""

  def __init__(self, examples: Examples, indices: np.ndarray):
    self._examples, self._indices, self.in_memory = examples, indices, examples.in_memory

  def __len__(self) -> int:
    return len(self._indices)

  def read(self, indices: np.ndarray) -> Features:
    return self._examples.read(self._indices[indices])

  def raw(self, indices: np.ndarray) -> Features:
    return self._examples.raw(self._indices[indices])

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    return {name: length[self._indices] for name, length in self._examples.lengths.items()}

  @property
  def tokenizers(self) -> dict[str, Tokenizer]:
    return self._examples.tokenizers

  def key(self, index: int) -> str:
    return self._examples.key(int(self._indices[index]))
