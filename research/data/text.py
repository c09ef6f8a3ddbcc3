"""Text as a source: whole files, lines, and what transforms make of other sources' texts."""

import dataclasses
import gzip
import pathlib

import numpy as np
from etils import epath

from research.config import ConfigError
from research.data.examples import Columns, DataError, Examples
from research.data.files import find
from research.data.intake import Intake
from research.data.sources import Source
from research.preprocessing.transform import Features, Transform, apply

_CHUNK = 2**24


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextFile(Source):
  """A UTF-8 file as one example with the feature `text`.

  Attributes:
    path: the file, below the data folder.
    begin: where the part that is taken begins, as a share of the file's characters.
    end: where it ends, likewise.
  """

  path: str
  begin: float = 0.0
  end: float = 1.0

  def __post_init__(self):
    super().__post_init__()
    if not 0 <= self.begin < self.end <= 1:
      raise ConfigError(f"TextFile: begin={self.begin}, end={self.end}: must be 0 <= begin < end <= 1")

  def open_all(self, data_dir: str | None) -> Examples:
    path = find(data_dir, self.path)
    text = decoded(path.read_bytes(), str(path))
    part = text[int(len(text) * self.begin):int(len(text) * self.end)]
    if not part:
      raise DataError(f"{path}: there are no characters from {self.begin:g} to {self.end:g} of it")
    return Columns({"text": [part]}, keys=[self.path])

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return (find(data_dir, self.path),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines(Source):
  """The lines of one or more UTF-8 files, plain or gzip: line n of each is example n. Plain local files stay on disk.

  Attributes:
    files_of: (feature, file below the data folder) for each; all have as many lines.
  """

  files_of: tuple[tuple[str, str], ...]

  def open_all(self, data_dir: str | None) -> Examples:
    columns = {name: _LineFile(find(data_dir, path)) for name, path in self.files_of}
    lengths = {path: len(columns[name]) for name, path in self.files_of}
    if len(set(lengths.values())) != 1:
      shown = ", ".join(f"{path} has {length} lines" for path, length in lengths.items())
      raise DataError(f"parallel files must have as many lines each: {shown}")
    return _LineExamples(columns, self.files_of[0][1])

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return tuple(find(data_dir, path) for _, path in self.files_of)


class _LineExamples(Examples):

  def __init__(self, columns: "dict[str, _LineFile]", name: str):
    self._columns, self._name = columns, name

  def __len__(self) -> int:
    return len(next(iter(self._columns.values())))

  def read(self, indices: np.ndarray) -> Features:
    return {name: [file.line(int(i)) for i in indices] for name, file in self._columns.items()}

  def key(self, index: int) -> str:
    return f"{self._name}:{index + 1}"


class _LineFile:
  """Random access to lines: the file is mapped into memory, and only where each line begins is held there."""

  def __init__(self, path: epath.Path):
    self._path = path
    self._data = self._open()
    if not len(self._data):
      raise DataError(f"{path} is empty")
    ends = [np.flatnonzero(self._data[at:at + _CHUNK] == ord("\n")) + at + 1 for at in range(0, len(self._data), _CHUNK)]
    last = [] if self._data[-1] == ord("\n") else [len(self._data)]
    self._offsets = np.concatenate([[0], *ends, last]).astype(np.int64)

  def __len__(self) -> int:
    return len(self._offsets) - 1

  def line(self, number: int) -> str:
    line = self._data[self._offsets[number]:self._offsets[number + 1]].tobytes()
    return decoded(line.removesuffix(b"\n").removesuffix(b"\r"), f"{self._path}, line {number + 1}")

  def _open(self) -> np.ndarray:
    if self._path.suffix == ".gz":
      try:
        return np.frombuffer(gzip.decompress(self._path.read_bytes()), np.uint8)
      except (OSError, EOFError) as error:
        raise DataError(f"{self._path} is damaged: {error}") from error
    local = pathlib.Path(self._path)
    if local.exists() and local.stat().st_size:
      return np.memmap(local, np.uint8, mode="r")
    return np.frombuffer(self._path.read_bytes(), np.uint8)

  def __getstate__(self):
    return {"_path": self._path, "_offsets": self._offsets}  # worker processes open the file themselves

  def __setstate__(self, state):
    self.__dict__.update(state)
    self._data = self._open()


def decoded(data: bytes, where: str) -> str:
  """UTF-8 as text. Raises DataError that names the place."""
  try:
    return data.decode()
  except UnicodeDecodeError as error:
    raise DataError(f"{where} is no UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transformed(Source):
  """Another source after transforms, before anything else: Moses' tokens, joined sentences, a prefix.

  What it gives is what counts as the raw text.

  Attributes:
    source: the other one.
    transforms: done in this order, in their form without random numbers.
  """

  source: Source
  transforms: tuple[Transform, ...]

  def open_all(self, data_dir: str | None) -> Examples:
    return _TransformedExamples(self.source.open(data_dir), self.transforms)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return self.source.files(data_dir)

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return self.source.class_names(data_dir)

  def intake(self, data_dir: str | None) -> Intake:
    return self.source.intake(data_dir).then(self.transforms).part(self)


class _TransformedExamples(Examples):

  def __init__(self, examples: Examples, transforms: tuple[Transform, ...]):
    self._examples, self._transforms = examples, transforms

  def __len__(self) -> int:
    return len(self._examples)

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    lengths = self._examples.lengths
    for transform in self._transforms:
      lengths = transform.lengths(lengths)
    return lengths

  def read(self, indices: np.ndarray) -> Features:
    return apply(self._transforms, self._examples.read(indices), None)

  def key(self, index: int) -> str:
    return self._examples.key(index)


def texts_of(features: Features, name: str, key: str) -> list[str]:
  """A feature's texts. Raises DataError where it is not there, or where it is no text.

  Args:
    features: as read.
    name: of the feature.
    key: of the first example, for the message.
  """
  if name not in features:
    raise DataError(f"there is no text {name!r}, only {', '.join(features)}")
  values = features[name]
  for value in values:
    if not isinstance(value, str):
      advice = "join it first (Transformed with Join)" if isinstance(value, list) else "texts are needed"
      raise DataError(f"{name!r} of {key} is no text but {type(value).__name__}: {advice}")
  return list(values)
