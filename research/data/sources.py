"""Where examples come from: files below the data folder, or generated. A source is configuration; it opens to examples.

Data in TFDS's format: research/data/tfds.py.
"""

import dataclasses
import functools
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from etils import epath

from research.config import config_hash
from research.data import digits, mnist1d
from research.data.examples import Columns, DataError, Examples, Subset
from research.data.intake import Intake, png
from research.preprocessing.arrays import Cast, Reshape, Scale
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.ink import BrightOnDark
from research.preprocessing.resizing import Resize
from research.preprocessing.transform import Features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """Base of all sources.

  Attributes:
    skip: leaves out the first so many examples.
    limit: uses so many examples at most, after `skip`; None uses all.
  """

  skip: int = 0
  limit: int | None = None

  def __post_init__(self):
    if self.skip < 0 or (self.limit is not None and self.limit < 1):
      raise ValueError(f"skip={self.skip}, limit={self.limit}: skip must be 0 or more, limit 1 or more (or None)")

  def open(self, data_dir: str | None) -> Examples:
    """Opens the examples.

    Args:
      data_dir: the folder that file names refer to, local or remote; None where no data folder was given.

    Raises:
      DataError: the data are missing or damaged, or `skip` leaves none.
    """
    examples = self.open_all(data_dir)
    if not self.skip and (self.limit is None or self.limit >= len(examples)):
      return examples
    stop = len(examples) if self.limit is None else min(self.skip + self.limit, len(examples))
    if self.skip >= stop:
      raise DataError(f"{type(self).__name__}: skip={self.skip} leaves none of the {len(examples)} examples")
    return Subset(examples, np.arange(self.skip, stop))

  def open_all(self, data_dir: str | None) -> Examples:
    """Opens the examples regardless of `skip` and `limit`."""
    raise TypeError(f"{type(self).__name__} defines no open_all")

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    """The names of the classes by their numbers, where the data say them.

    Args:
      data_dir: as for `open`.

    Raises:
      DataError: the data are missing or damaged.
    """
    return None

  def intake(self, data_dir: str | None) -> Intake:
    """How what a person gives becomes an example as `open` has it; by default it is one, as a record or a text is.

    Args:
      data_dir: as for `open`.

    Raises:
      DataError: the data are missing or damaged.
    """
    return Intake(examples=self.open(data_dir))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    """The files whose content decides what the examples are; none where the settings alone do."""
    raise TypeError(f"{type(self).__name__} defines no files")

  def digest(self, data_dir: str | None) -> str:
    """16 hexadecimal digits over the settings and the files' content: what follows from the examples is kept under it.

    Args:
      data_dir: as for `open`.

    Raises:
      DataError: a file is missing.
    """
    total = hashlib.sha256(config_hash(self).encode())
    for path in self.files(data_dir):
      with path.open("rb") as file:
        while block := file.read(2**24):
          total.update(block)
    return total.hexdigest()[:16]


# --- files -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrays(Source):
  """A NumPy file: each array of an .npz, or the one of an .npy, is a feature (named as the file), examples along its
  first dim.

  Attributes:
    path: the file, below the data folder.
  """

  path: str

  def open_all(self, data_dir: str | None) -> Examples:
    path = find(data_dir, self.path)
    return _checked(path, _load_arrays(path))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return (find(data_dir, self.path),)

  def intake(self, data_dir: str | None) -> Intake:
    """Of images (uint8, grey or three colours) pictures of any size; of other arrays there is nothing that people give."""
    examples = self.open(data_dir)
    first = {name: array[0] for name, array in examples.read(np.zeros(1, np.int64)).items()}
    names = [name for name, array in first.items() if array.dtype == np.uint8 and _is_image(array.shape)]
    if len(names) != 1:
      return Intake(examples=examples)
    name, shape = names[0], first[names[0]].shape
    transforms = (
        DecodeImage(name=name, colour="rgb" if shape[2:] == (3,) else "grey"),
        Resize(name=name, size=shape[:2], library="pillow"), Reshape(names=(name,), shape=shape))
    return Intake(examples=examples, transforms=transforms, file=lambda example: png(example[name]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Records(Source):
  """Encoded files packed into one .npz: `data` holds their bytes one after another (uint8), `offsets` where each begins
  and the last ends. The feature `record` is the bytes of one; further arrays are features too, but for `key`, which
  names the examples. So is each field of a .jsonl of the same name, an object a line for every record; where it has
  `seconds`, as of audio, they are the length of `record`.

  A `classes.json` in the same folder, a list, names the classes.

  Attributes:
    path: the .npz, below the data folder.
  """

  path: str

  def open_all(self, data_dir: str | None) -> Examples:
    path = find(data_dir, self.path)
    arrays = _load_arrays(path)
    missing = {"data", "offsets"} - set(arrays)
    if missing:
      raise DataError(f"{path} is no record file: it has no array {' and no '.join(sorted(missing))}")
    data, offsets = arrays.pop("data"), arrays.pop("offsets")
    if offsets.ndim != 1 or data.ndim != 1 or not len(offsets) or offsets[0] < 0 or np.any(np.diff(offsets) < 0):
      raise DataError(f"{path} is damaged: offsets must rise")
    if offsets[-1] > len(data):
      raise DataError(f"{path} is damaged: offsets reach {offsets[-1]}, but there are only {len(data)} bytes of data")
    keys = arrays.pop("key", None)
    sidecar = path.with_suffix(".jsonl")
    columns = {**arrays, **(_load_lines(sidecar) if sidecar.exists() else {})}
    if keys is None and "id" in columns:
      keys = columns["id"]
    named = columns if keys is None else {**columns, "key": keys}
    wrong = {name: len(column) for name, column in named.items() if len(column) != len(offsets) - 1}
    if wrong:
      name, length = next(iter(wrong.items()))
      raise DataError(f"{path} is damaged: {len(offsets) - 1} records, but {length} entries of {name!r}")
    return _RecordExamples(data, offsets, columns, keys)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    path = find(data_dir, self.path)
    return tuple(file for file in (path, path.with_suffix(".jsonl")) if file.exists())

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return _class_names(find(data_dir, self.path).parent / "classes.json")


class _RecordExamples(Examples):

  def __init__(self, data: np.ndarray, offsets: np.ndarray, columns: Features, keys: Sequence | np.ndarray | None):
    self._data, self._offsets, self._keys = data, offsets, keys
    self._columns = Columns(columns, keys) if columns else None
    seconds = columns.get("seconds")
    self._lengths = {"record": seconds} if isinstance(seconds, np.ndarray) else {}

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    return self._lengths

  def __len__(self) -> int:
    return len(self._offsets) - 1

  def read(self, indices: np.ndarray) -> Features:
    records = [self._data[self._offsets[i]:self._offsets[i + 1]].tobytes() for i in indices]
    return {"record": records, **self.raw(indices)}

  def raw(self, indices: np.ndarray) -> Features:
    return self._columns.read(indices) if self._columns else {}

  def key(self, index: int) -> str:
    return str(index) if self._keys is None else str(self._keys[index])


@dataclasses.dataclass(frozen=True, kw_only=True)
class JSONL(Source):
  """A file with a JSON object a line, plain or gzip: each field is a feature.

  A `classes.json` in the same folder, a list, names the classes.

  Attributes:
    path: the .jsonl or .jsonl.gz, below the data folder.
  """

  path: str

  def open_all(self, data_dir: str | None) -> Examples:
    path = find(data_dir, self.path)
    return _checked(path, _load_lines(path))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return (find(data_dir, self.path),)

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return None if data_dir is None else _class_names((epath.Path(data_dir) / self.path).parent / "classes.json")


def find(data_dir: str | None, path: str) -> epath.Path:
  """The file below the data folder. Raises DataError if it is not there."""
  if data_dir is None:
    raise DataError(f"{path} is needed: give --data_dir, the folder that holds it")
  full = epath.Path(data_dir) / path
  if not full.exists():
    raise DataError(f"{full} does not exist: put it there, or give --data_dir the folder that holds {path}")
  return full


def _is_image(shape: tuple[int, ...]) -> bool:
  return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def _class_names(path: epath.Path) -> tuple[str, ...] | None:
  if not path.exists():
    return None
  try:
    names = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise DataError(f"{path} is damaged: {_one_line(error)}") from error
  if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
    raise DataError(f"{path} is damaged: it is no list of names")
  return tuple(names)


def _checked(path: epath.Path, columns: Mapping[str, np.ndarray | list]) -> Columns:
  try:
    return Columns(columns)
  except DataError as error:
    raise DataError(f"{path} is damaged: {error}") from None


def _load_arrays(path: epath.Path) -> dict[str, np.ndarray]:
  try:
    with path.open("rb") as file:
      loaded = np.load(file, allow_pickle=False)
      arrays = {path.stem: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
  except Exception as error:  # zip, zlib, NumPy and the file system have each their own way of saying this
    raise DataError(f"{path} is damaged or no NumPy file: {_one_line(error)}") from error
  scalars = [name for name, array in arrays.items() if not array.ndim]
  if scalars or not arrays:
    raise DataError(f"{path} is damaged: {f'{scalars[0]!r} is a scalar' if scalars else 'it holds no arrays'}")
  return arrays


def _load_lines(path: epath.Path) -> Features:
  rows: list[dict] = []
  try:
    with path.open("rb") as file, gzip.open(file) if path.suffix == ".gz" else file as lines:
      for number, line in enumerate(lines, 1):
        row = json.loads(line)
        names = list(rows[0]) if rows else list(row) if isinstance(row, dict) else []
        if not isinstance(row, dict) or not names or set(row) != set(names):
          fields = f"with the fields {', '.join(names)}" if names else "with fields"
          raise DataError(f"{path} is damaged: line {number} is no object {fields}")
        rows.append(row)
  except ValueError as error:
    if isinstance(error, DataError):
      raise
    raise DataError(f"{path} is damaged: line {len(rows) + 1} is no JSON: {_one_line(error)}") from error
  except (OSError, EOFError) as error:
    raise DataError(f"{path} is damaged after line {len(rows)}: {_one_line(error)}") from error
  if not rows:
    raise DataError(f"{path} is empty")
  return {name: _column([row[name] for row in rows]) for name in rows[0]}


def _column(values: list) -> np.ndarray | list:
  numbers = all(type(value) in (int, float, bool) for value in values)
  return np.asarray(values) if numbers else values


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split()) or type(error).__name__


# --- generated -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class MNIST1D(Source):
  """MNIST-1D, generated: `inputs` (40,) float64, `labels` 0..9 int64. The defaults give the published data.

  Attributes:
    split: which part.
    shuffled: the variant whose positions are put in a fixed random order.
    num_samples: signals in all, a multiple of 10.
    num_train: how many of them are the train split.
    seed: of the generator.
  """

  split: Literal["train", "test"]
  shuffled: bool = False
  num_samples: int = 5000
  num_train: int = 4000
  seed: int = 42

  def open_all(self, data_dir: str | None) -> Examples:
    data = _mnist1d(self.num_samples, self.seed, self.num_train)
    suffix = "" if self.split == "train" else "_test"
    inputs = data["x" + suffix]
    return Columns({"inputs": inputs[:, mnist1d.shuffled_positions()] if self.shuffled else inputs,
                    "labels": data["y" + suffix]})


@functools.lru_cache(maxsize=2)  # both splits come out of one generation, which takes a second
def _mnist1d(num_samples: int, seed: int, num_train: int) -> dict[str, np.ndarray]:
  return mnist1d.make_mnist1d(num_samples, seed, num_train)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(Source):
  """scikit-learn's 1,797 digits: `inputs` (8, 8) float64, grey levels 0 to 16, `labels` 0..9 int64.

  Attributes:
    split: which part.
    num_train: how many are the train split; the others are the test split.
    permutation: seed of the order in which they are split (NumPy's legacy RandomState); None keeps the file's order.
  """

  split: Literal["train", "test"]
  num_train: int = 1297
  permutation: int | None = 0

  def __post_init__(self):
    super().__post_init__()
    if not 0 < self.num_train < 1797:
      raise ValueError(f"num_train={self.num_train}: there are 1797 digits, give 1 to 1796")

  def open_all(self, data_dir: str | None) -> Examples:
    images, labels = digits.load_digits()
    num = len(images)
    order = np.arange(num) if self.permutation is None else np.random.RandomState(self.permutation).permutation(num)
    part = order[:self.num_train] if self.split == "train" else order[self.num_train:]
    return Columns({"inputs": images[part], "labels": labels[part]})

  def intake(self, data_dir: str | None) -> Intake:
    """Pictures of any size, a digit that fills them each. The levels 0 to 16 are the grey levels 0, 15, ... 240."""
    transforms = (DecodeImage(colour="grey"), BrightOnDark(), Resize(size=(8, 8), library="pillow", interpolation="area"),
                  Reshape(shape=(8, 8)), Cast(dtype="float64"), Scale(factor=1 / 15))
    return Intake(examples=self.open(data_dir), transforms=transforms,
                  file=lambda example: png((example["inputs"] * 15).astype(np.uint8)))
