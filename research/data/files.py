"""Files below the data folder, read whole: NumPy arrays, JSON lines, names of classes. A damaged one is one clear line."""

import gzip
import json

import numpy as np
from etils import epath

from research.data.examples import DataError
from research.preprocessing.transform import Features


def find(data_dir: str | None, path: str) -> epath.Path:
  """The file below the data folder. Raises DataError if it is not there."""
  if data_dir is None:
    raise DataError(f"{path} is needed: give --data_dir, the folder that holds it")
  full = epath.Path(data_dir) / path
  if not full.exists():
    raise DataError(f"{full} does not exist: put it there, or give --data_dir the folder that holds {path}")
  return full


def load_arrays(path: epath.Path) -> dict[str, np.ndarray]:
  """The arrays of an .npz by their names, or the one of an .npy by the file's. Raises DataError if it is damaged."""
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


def load_lines(path: epath.Path) -> Features:
  """A column for each field of a JSON object a line, plain or gzip, numbers as arrays. Raises DataError if it is damaged."""
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


def load_names(path: epath.Path) -> tuple[str, ...] | None:
  """A JSON list of names; None where there is no such file. Raises DataError if it is damaged."""
  if not path.exists():
    return None
  try:
    names = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise DataError(f"{path} is damaged: {_one_line(error)}") from error
  if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
    raise DataError(f"{path} is damaged: it is no list of names")
  return tuple(names)


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split()) or type(error).__name__
