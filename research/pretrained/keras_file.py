"""Weights as Keras stores them in HDF5: `*.weights.h5` of Keras 3, and the older `.h5` whose groups are the layers.

Either way a variable is called layer/number, in the order in which the layer creates them, which is how Keras itself assigns
them: dense and convolution 0 kernel, 1 bias; batch normalisation 0 gamma, 1 beta, 2 moving mean, 3 moving variance.
"""

import functools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from research.pretrained.files import Tensor, WeightsError


def read(path: str) -> dict[str, Tensor]:
  """The variables by layer/number. Raises WeightsError if the file is damaged or not of Keras."""
  import h5py  # here: only those who read such files need it

  _survive(path)
  try:
    with h5py.File(path, "r") as file:
      root: Any = file.get("model_weights", file)  # of a whole model
      layered = "layer_names" in root.attrs or "layer_names0" in root.attrs
      datasets = _by_layer(root) if layered else _by_position(root)
      tensors = {}
      for name, dataset in datasets:
        if name in tensors:
          raise WeightsError(f"variable {name!r} stands twice")
        tensors[name] = Tensor(dataset.shape, np.dtype(dataset.dtype), functools.partial(_load, path, dataset.name))
  except WeightsError:
    raise
  except Exception as error:  # h5py turns HDF5's complaints into OSError, KeyError, RuntimeError, ValueError, ...
    raise WeightsError(f"the HDF5 file is damaged or cut off ({' '.join(str(error).split())[:150]})") from error
  if not tensors:
    raise WeightsError("it is an HDF5 file without weights of Keras")
  return tensors


_WALK = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
  look = lambda name, item: (dict(item.attrs), getattr(item, "shape", None)) and None
  look("", file), file.visititems(look)
"""


_SECONDS = 60


def _survive(path: str) -> None:
  """Has another process look at the file first: on damaged bytes the HDF5 library may crash, or never come back."""
  try:
    status = subprocess.run([sys.executable, "-c", _WALK, path], capture_output=True, timeout=_SECONDS).returncode
  except subprocess.TimeoutExpired:
    status = -1
  if status < 0:
    raise WeightsError("the HDF5 file is damaged: the HDF5 library crashes on it or does not come back")


def _text(value) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _by_layer(root):
  """The older form: attributes list the layers, and each layer's variables."""
  names = [_text(name) for name in _attribute(root, "layer_names")]
  if missing := [name for name in names if name not in root]:
    raise WeightsError(f"the file is damaged (layer {missing[0]!r} is listed but not there)")
  for layer in names:
    for i, variable in enumerate(_attribute(root[layer], "weight_names")):
      yield f"{layer}/{i}", root[layer][_text(variable)]


def _attribute(group, name: str) -> list:
  if name in group.attrs:
    return list(group.attrs[name])
  pieces = sorted((key for key in group.attrs if re.fullmatch(rf"{name}\d+", key)), key=lambda key: int(key.removeprefix(name)))
  return [item for key in pieces for item in group.attrs[key]]  # HDF5 bounds the size of an attribute: Keras cuts long lists


def _by_position(root):
  """Keras 3: groups are numbered by class (conv2d_10), and each says in an attribute what its layer is called."""
  found = []

  def visit(path, item):
    import h5py  # here: only those who read such files need it

    if isinstance(item, h5py.Dataset):
      group, _, number = path.rpartition("/")
      layer = root[group].attrs.get("name") if group else None
      if layer is None and group.startswith(("layers/", "_layer_checkpoint_dependencies/")):
        raise WeightsError(f"it does not say what its layers are called (only {group!r}): save it with a later Keras")
      found.append((f"{_text(layer) if layer is not None else group.removesuffix('/vars')}/{number}", item))

  root.visititems(visit)
  return found


def _load(path: str, name: str) -> np.ndarray:
  import h5py  # here: only those who read such files need it

  with h5py.File(path, "r") as file:
    dataset: Any = file[name]
    return np.asarray(dataset[()])


def write(path: epath.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes the older form, in which layers are found by their names and in their order; a file that is whole or not there."""
  import h5py  # here: only those who write such files need it

  layers: dict[str, list[str]] = {}
  for name in arrays:
    layers.setdefault(name.rpartition("/")[0], []).append(name)
  with tempfile.TemporaryDirectory() as folder:  # h5py writes local files only
    local = os.path.join(folder, path.name)
    with h5py.File(local, "w") as file:
      file.attrs["layer_names"] = [layer.encode() for layer in layers]
      file.attrs["backend"] = b"jax"
      for layer, names in layers.items():
        words = ("kernel", "bias") if len(names) <= 2 else ("gamma", "beta", "moving_mean", "moving_variance")
        group = file.create_group(layer)
        group.attrs["weight_names"] = [f"{layer}/{word}:0".encode() for word in words[:len(names)]]
        for word, name in zip(words, names):
          group.create_dataset(f"{layer}/{word}:0", data=arrays[name])
    temporary = path.parent / f".{path.name}.tmp"
    epath.Path(local).copy(temporary, overwrite=True)
    temporary.replace(path)
