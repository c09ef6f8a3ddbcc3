"""Where examples come from: what every source is, and those of plain files. A source is configuration; it opens to examples.

Others have files of their own, as research/data/tfds.py, image_folder.py, mnist1d.py.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from etils import epath

from research.config import config_hash
from research.data.examples import Columns, DataError, Examples, Subset, key_of
from research.data.files import find, load_arrays, load_lines, load_names
from research.data.intake import Intake, png
from research.preprocessing.arrays import Reshape
from research.preprocessing.decoding import DecodeImage
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
    arrays = load_arrays(path)
    try:
      return Columns(arrays)
    except DataError as error:
      raise DataError(f"{path} is damaged: {error}") from None

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


def _is_image(shape: tuple[int, ...]) -> bool:
  return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


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
    arrays = load_arrays(path)
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
    columns = {**arrays, **(load_lines(sidecar) if sidecar.exists() else {})}
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
    return load_names(find(data_dir, self.path).parent / "classes.json")


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
    return key_of(self._keys, index)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JSONL(Source):
  """A file with a JSON object a line, plain or gzip: each field is a feature.

  A `classes.json` in the same folder, a list, names the classes.

  Attributes:
    path: the .jsonl or .jsonl.gz, below the data folder.
  """

  path: str

  def open_all(self, data_dir: str | None) -> Examples:
    return Columns(load_lines(find(data_dir, self.path)))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return (find(data_dir, self.path),)

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return None if data_dir is None else load_names((epath.Path(data_dir) / self.path).parent / "classes.json")
