"""NumPy's .npz: a zip archive with an array in each member. The zip's checksums notice damage when a member is read."""

import functools
import math
import zipfile
from collections.abc import Mapping

import numpy as np
from etils import epath

from research.pretrained.files import Tensor, WeightsError


def read(path: str) -> dict[str, Tensor]:
  """The arrays by name. Raises WeightsError if the archive is damaged or holds something else."""
  try:
    with zipfile.ZipFile(path) as archive:
      members = archive.infolist()
      foreign = [m.filename for m in members if not m.filename.endswith(".npy")]
      if any(name.endswith("/data.pkl") for name in foreign):
        raise WeightsError("it is a pickle of PyTorch, which can run any code when opened: convert it to safetensors")
      if foreign:
        raise WeightsError(f"it is a zip archive that holds {foreign[0]!r}, not only NumPy arrays")
      tensors = {m.filename.removesuffix(".npy"): _tensor(path, archive, m) for m in members}
      if len(tensors) < len(members):
        raise WeightsError("the archive is damaged (a name stands twice)")
      return tensors
  except WeightsError:
    raise
  except Exception as error:  # a damaged archive fails in many ways: BadZipFile, zlib.error, NotImplementedError, ...
    raise WeightsError(f"the archive is damaged or cut off ({' '.join(str(error).split())[:150]})") from error


def _tensor(path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
  with archive.open(member) as file:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject:
      raise WeightsError(f"{member.filename!r} holds Python objects, not numbers")
    if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
      raise WeightsError(f"the archive is damaged ({member.filename!r} of shape {shape} has {member.file_size:,} bytes)")
  return Tensor(tuple(shape), dtype, functools.partial(_load, path, member.filename))


def _load(path: str, name: str) -> np.ndarray:
  with zipfile.ZipFile(path) as archive, archive.open(name) as file:
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):  # also makes the archive compare its checksum
      raise ValueError("bytes too many")
  return array


def write(path: epath.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an archive that is whole or not there; each array is asked for once, and only one is held at a time."""
  temporary = path.parent / f".{path.name}.tmp"
  with temporary.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
    for name in arrays:
      with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asarray(arrays[name]), allow_pickle=False)
  temporary.replace(path)
