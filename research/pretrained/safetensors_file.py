"""The safetensors format: the length of a header (8 bytes, little-endian), the header (JSON), then the arrays' bytes.

https://github.com/huggingface/safetensors#format. Read by memory mapping, so that a process touches only the bytes it needs;
the library's own NumPy reader knows neither bfloat16 nor slices of a transposed array.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping

import ml_dtypes
import numpy as np
from etils import epath

from research.pretrained.files import Tensor, WeightsError

DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32, "I32": np.int32,
    "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64,
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
}
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
_DIGEST = "sha256 of the arrays"  # in the metadata of files that we write


def read(path: str, *, thorough: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
  """Tensors and metadata of one file; `thorough` reads its arrays to compare the digest that our own files have.

  Raises:
    WeightsError: something in it is not as the format demands.
  """
  size = os.path.getsize(path)
  with open(path, "rb") as file:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
      raise WeightsError(f"the file is cut off: its header should have {length:,} bytes, the file has {size:,}")
    text = file.read(length)
  try:
    header = json.loads(text.decode(), object_pairs_hook=_unique)
  except (ValueError, RecursionError) as error:
    raise WeightsError(f"the header is damaged ({error})") from None
  metadata = header.pop("__metadata__", {})
  if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
    raise WeightsError("the header is damaged (its metadata are no texts)")
  data = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.zeros(0, np.uint8)
  spans = {name: _entry(name, entry) for name, entry in header.items()}
  end = 0
  for name, (_, _, begin, stop) in sorted(spans.items(), key=lambda item: item[1][2:]):
    if begin != end:
      raise WeightsError(f"the header is damaged (tensor {name!r} begins at {begin:,}, the one before it ends at {end:,})")
    end = stop
  if end != len(data):
    what = "is cut off" if end > len(data) else "has bytes too many"
    raise WeightsError(f"the file {what}: its arrays should have {end:,} bytes, they have {len(data):,}")
  if thorough and _DIGEST in metadata and hashlib.sha256(data.data).hexdigest() != metadata[_DIGEST]:
    raise WeightsError("its arrays are not those that were written: the file is damaged")
  view = lambda shape, dtype, begin, stop: lambda: data[begin:stop].view(dtype).reshape(shape)
  return {name: Tensor(span[0], span[1], view(*span)) for name, span in spans.items()}, metadata


def _unique(pairs: list) -> dict:
  if len(dict(pairs)) < len(pairs):
    raise ValueError("a name stands twice")
  return dict(pairs)


def _entry(name: str, entry) -> tuple[tuple[int, ...], np.dtype, int, int]:
  """(shape, dtype, begin, end) of a tensor."""
  natural = lambda values: isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)
  if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"} or not (
      natural(entry["shape"]) and natural(entry["data_offsets"]) and len(entry["data_offsets"]) == 2):
    raise WeightsError(f"the header is damaged (tensor {name!r} has no proper dtype, shape and data_offsets)")
  if entry["dtype"] not in DTYPES:
    raise WeightsError(f"tensor {name!r} is of type {entry['dtype']!r}; read are {', '.join(DTYPES)}")
  dtype, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["data_offsets"]
  if end - begin != math.prod(entry["shape"]) * dtype.itemsize:
    raise WeightsError(f"the header is damaged (tensor {name!r} of shape {tuple(entry['shape'])} has {end - begin:,} bytes)")
  return tuple(entry["shape"]), dtype, begin, end


# --- several files ---------------------------------------------------------------------------------------------------


def _weight_map(index: str) -> dict[str, str]:
  try:
    with open(index, encoding="utf-8") as file:
      shard_of = json.load(file)["weight_map"]
  except (ValueError, KeyError, TypeError) as error:
    raise WeightsError(f"the index is damaged ({type(error).__name__}: {error})") from None
  names = shard_of.values() if isinstance(shard_of, dict) else [None]
  if not all(isinstance(name, str) and name == os.path.basename(name) and name.endswith(".safetensors") for name in names):
    raise WeightsError("the index is damaged (its weight_map does not name safetensors files beside it)")
  return shard_of


def shard_names(index: str) -> list[str]:
  """The files that an index names, in order. Raises WeightsError if it is no index."""
  return sorted(set(_weight_map(index).values()))


def read_shards(index: str, paths: Mapping[str, str]) -> dict[str, Tensor]:
  """Tensors of all shards. Raises WeightsError if they are not exactly those of the index."""
  shard_of, tensors, problems = _weight_map(index), {}, []
  for shard, path in paths.items():
    try:
      found, _ = read(path)
    except WeightsError as error:
      problems.append(f"{shard}: {error}")
      continue
    listed = {name for name, where in shard_of.items() if where == shard}
    if odd := sorted(listed ^ set(found)):
      problems.append(f"{shard} is not the file that the index means: tensor {odd[0]!r} is in one of them only")
    tensors.update(found)
  if problems:
    raise WeightsError("; ".join(problems))
  return tensors


# --- writing ---------------------------------------------------------------------------------------------------------


def write(path: epath.Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], *, digest: bool) -> None:
  """Writes a file that is whole or not there.

  Args:
    path: where to.
    arrays: any mapping; each array is asked for twice with a digest, and only one is held at a time.
    metadata: texts.
    digest: also write a digest of the arrays, by which `read` notices damage.
  """
  header, end, total = {}, 0, hashlib.sha256()
  for name in arrays:
    array = np.asarray(arrays[name])
    header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
    end += array.nbytes
    if digest:
      total.update(array.tobytes())
  about = {**metadata, **({_DIGEST: total.hexdigest()} if digest else {})}
  text = json.dumps({"__metadata__": about, **header}).encode()
  text += b" " * (-len(text) % 8)  # the arrays are aligned
  temporary = path.parent / f".{path.name}.tmp"
  with temporary.open("wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for name in arrays:
      file.write(np.asarray(arrays[name]).tobytes())
  temporary.replace(path)
