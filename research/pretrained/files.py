"""Files of weights: each tensor's shape and type are known without reading it, and it is read when asked for.

What a file is is decided by its first bytes; its name must agree. Formats: safetensors (whole or in shards), HDF5 as Keras
writes it, NumPy's .npz.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable

import numpy as np
from etils import epath

from research.config import UserError


class WeightsError(UserError):
  """A file of weights is missing, damaged, not what it says it is, or of another network."""


@dataclasses.dataclass(frozen=True)
class Tensor:
  """One array in a file.

  Attributes:
    shape: its shape.
    dtype: its type.
    read: gives the array; nothing is read before. Raises WeightsError if it is damaged.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class WeightsFile:
  """An open file.

  Attributes:
    path: as given.
    tensors: each by its name.
    metadata: what else the file says of itself.
  """

  path: str
  tensors: dict[str, Tensor]
  metadata: dict[str, str]


CACHE = "~/.cache/fieldwork/weights"

_SUFFIXES = {"safetensors": (".safetensors",), "index": (".index.json",), "hdf5": (".h5", ".hdf5"), "npz": (".npz",)}
_CALLED = {"safetensors": "a safetensors file", "index": "an index of safetensors files", "hdf5": "an HDF5 file",
           "npz": "an .npz file"}


def open_weights(path: str | os.PathLike, *, thorough: bool = False, sha256: str | None = None) -> WeightsFile:
  """Opens a file of weights, local or remote (which is copied to a cache first).

  Args:
    path: *.safetensors, *.safetensors.index.json, *.h5 or *.npz.
    thorough: read all of it to compare the digest that our own files have.
    sha256: hexadecimal digest that the file must have; of an index: that of its shards, one after another by name.

  Raises:
    WeightsError: the file is missing, empty, damaged, of an unsafe or unknown kind, or has another digest.
  """
  from research.pretrained import keras_file, npz_file, safetensors_file  # here: they need the classes above

  here = epath.Path(path).expanduser()
  local, metadata = _local(here), {}
  kind = _kind(local, str(path))
  try:
    names = safetensors_file.shard_names(local) if kind == "index" else []
    if missing := [name for name in names if not (here.parent / name).exists()]:
      raise WeightsError(f"files that it names are missing: {', '.join(missing)}")
    shards = {name: _local(here.parent / name) for name in names}
    if sha256 and (found := _digest([*shards.values()] or [local])) != sha256.lower():
      raise WeightsError(f"its sha256 is {found}, not {sha256.lower()}: it is damaged or another file")
    match kind:
      case "index":
        tensors = safetensors_file.read_shards(local, shards)
      case "safetensors":
        tensors, metadata = safetensors_file.read(local, thorough=thorough)
      case "hdf5":
        tensors = keras_file.read(local)
      case "npz":
        tensors = npz_file.read(local)
  except WeightsError as error:
    raise WeightsError(f"{path}: {error}") from error.__cause__
  return WeightsFile(str(path), {name: _named(str(path), name, tensor) for name, tensor in tensors.items()}, metadata)


def find_weights(folder: epath.Path) -> epath.Path:
  """The file of weights in a folder as Hugging Face has them. Raises WeightsError if there is none, or more than one."""
  names = ("model.safetensors", "model.safetensors.index.json")
  found = [folder / name for name in names if (folder / name).exists()]
  if len(found) == 1:
    return found[0]
  if found:
    raise WeightsError(f"{folder} holds both {names[0]} and {names[1]}: keep one, or name the file")
  other = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".h5", ".msgpack", ".safetensors"))
  raise WeightsError(f"{folder} holds neither {names[0]} nor {names[1]}" + (f", but {', '.join(other)}" if other else ""))


def _named(path: str, name: str, tensor: Tensor) -> Tensor:
  """The same tensor; whatever goes wrong in reading it names file and tensor."""

  def read():
    try:
      array = tensor.read()
    except Exception as error:  # zlib, HDF5 and NumPy each have their own ways of failing on damaged bytes
      raise WeightsError(f"{path}: tensor {name!r} is damaged ({' '.join(str(error).split())[:150]})") from error
    if array.shape != tensor.shape or array.dtype != tensor.dtype:
      raise WeightsError(f"{path}: tensor {name!r} is damaged (it is not of the shape and type that were announced)")
    return array

  return dataclasses.replace(tensor, read=read)


def _kind(local: str, path: str) -> str:
  """What the first bytes say the file is. Raises WeightsError if its name says otherwise, or if it is none of ours."""
  with open(local, "rb") as file:
    head = file.read(64)
  size = os.path.getsize(local)
  if not size:
    raise WeightsError(f"{path} is empty")
  torch = "a pickle of PyTorch, which can run any code when opened: convert it to safetensors where it was made"
  foreign = [
      (head.startswith(b"version https://git-lfs"), "a Git LFS pointer, not the file: run `git lfs pull` where it was cloned"),
      (head.lstrip()[:1] == b"<", "a web page, not weights: the download went wrong"),
      (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05", torch),
      (head.startswith(b"\x1f\x8b"), "compressed with gzip: unpack it"),
      (head.startswith(b"PK\x03\x04") and path.endswith((".bin", ".pt", ".pth", ".ckpt")), torch),
      (head.startswith(b"PK\x03\x04") and path.endswith(".keras"), "a whole Keras model: save its weights as .weights.h5"),
      (path.endswith((".bin", ".pt", ".pth", ".ckpt")), f"by its name {torch}"),
  ]
  for found, what in foreign:
    if found:
      raise WeightsError(f"{path} is {what}")
  if head.startswith(b"PK\x03\x04"):
    kind = "npz"
  elif head.startswith(b"\x89HDF\r\n\x1a\n"):
    kind = "hdf5"
  elif size > 8 and int.from_bytes(head[:8], "little") < 2**32 and head[8:9] == b"{":
    kind = "safetensors"
  elif path.endswith(".index.json"):
    kind = "index"
  else:
    kind = ""
  named = next((kind for kind, suffixes in _SUFFIXES.items() if path.endswith(suffixes)), "")
  if not kind:
    what = f"no {_CALLED[named].partition(' ')[2]}: it is damaged or something else" if named else "none of these"
    raise WeightsError(f"{path} is {what} (read are .safetensors, .safetensors.index.json, .h5, .npz)")
  if named != kind:
    raise WeightsError(f"{path} is {_CALLED[kind]}, which its name does not say: rename it to {'*' + _SUFFIXES[kind][0]}")
  return kind


def _digest(paths: list[str]) -> str:
  digest = hashlib.sha256()
  for path in paths:
    with open(path, "rb") as file:
      while block := file.read(1 << 24):
        digest.update(block)
  return digest.hexdigest()


def _local(path: epath.Path) -> str:
  """The file on this machine's disk; a remote one is copied once, and again when it has changed."""
  try:
    stat = path.stat()
  except (FileNotFoundError, NotADirectoryError):
    raise WeightsError(f"there is no file {path}") from None
  except OSError as error:
    raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
  if path.is_dir():
    raise WeightsError(f"{path} is a folder, not a file of weights")
  if "://" not in str(path):
    return os.fspath(path)
  key = hashlib.sha256(f"{path} {stat.length} {stat.mtime}".encode()).hexdigest()[:16]
  staged = epath.Path(CACHE).expanduser() / key / path.name
  if not staged.exists():
    staged.parent.mkdir(parents=True, exist_ok=True)
    partial = staged.parent / f".{path.name}.{os.getpid()}"
    path.copy(partial, overwrite=True)
    partial.replace(staged)
  return os.fspath(staged)
