"""Pretrained weights of an experiment, and the writing of ours: `Pretrained` is a setting, `save` and `export` write files."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np
from etils import epath

from research import rules
from research.config import ConfigError, did_you_mean
from research.nn.names import Table
from research.pretrained import files, keras_file, mapping, npz_file, safetensors_file
from research.pretrained.files import WeightsError, WeightsFile

Names = Literal["fieldwork", "keras", "torchvision", "hf", "timm", "augreg", "big_vision", "tflite"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
  """Weights to begin with.

  Attributes:
    path: the file (.safetensors, .safetensors.index.json, .h5, .npz), or a folder as Hugging Face has them; below the data
      folder or absolute; gs:// works.
    names: whose names it has; "fieldwork" are those of our own files.
    fresh: regexes of parameters that begin as if there were no file, such as "head/.*".
    unused: regexes of tensors in the file that are not wanted; all others must be.
    sha256: the file's digest; without it, damage to the numbers themselves shows only in formats that have one.
  """

  path: str
  names: Names
  fresh: tuple[str, ...] = ()
  unused: tuple[str, ...] = ()
  sha256: str | None = None

  def __post_init__(self):
    if not self.path:
      raise ConfigError("path is empty: name a file of weights")
    for pattern in (*self.fresh, *self.unused):
      try:
        re.compile(pattern)
      except re.error as error:
        raise ConfigError(f"fresh and unused are regular expressions; {pattern!r} is none: {error}") from None
    if self.sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
      raise ConfigError(f"sha256={self.sha256}: 64 hexadecimal digits")

  def find(self, data_dir: str | os.PathLike | None) -> epath.Path:
    """The file. Raises WeightsError if it is not there."""
    path = epath.Path(self.path).expanduser()
    if not path.is_absolute():
      if data_dir is None:
        raise WeightsError(f"{self.path} is needed: give --data_dir, the folder that holds it")
      path = epath.Path(data_dir) / path
    if not path.exists():
      raise WeightsError(f"there is no file {path}")
    return files.find_weights(path) if path.is_dir() else path

  def check(self, data_dir: str | os.PathLike | None, model: Any, params: Any, buffers: Any) -> None:
    """Raises UserError for all that can be known without reading the numbers.

    Args:
      data_dir: the folder that `path` refers to.
      model: the network's configuration; its `tables()` are the names it knows.
      params: its parameters, abstract or not.
      buffers: its running statistics.
    """
    leaves = {**rules.paths(params), **rules.paths(buffers)}
    self._plan(files.open_weights(self.find(data_dir)), model, leaves)

  def load(self, data_dir: str | os.PathLike | None, model: Any, params: Any, buffers: Any) -> tuple[Any, Any, str]:
    """Reads the weights.

    Args:
      data_dir: the folder that `path` refers to.
      model: the network's configuration.
      params: its parameters: arrays, or ShapeDtypeStructs for those that are not fresh. Type and sharding are kept.
      buffers: its running statistics, likewise.

    Returns:
      Parameters and statistics in trees of the same structure, and a line for the log.

    Raises:
      UserError: as `check`, or the file is damaged.
    """
    own, others = rules.paths(params), rules.paths(buffers)
    leaves = {**own, **others}
    file = files.open_weights(self.find(data_dir), thorough=True, sha256=self.sha256)
    plan = self._plan(file, model, leaves)
    filled = mapping.fill(file, plan, leaves)
    tree = lambda like, paths: jax.tree.unflatten(jax.tree.structure(like), [filled[path] for path in paths])
    return tree(params, own), tree(buffers, others), _report(file, plan, leaves)

  def _plan(self, file: WeightsFile, model: Any, leaves: Mapping[str, Any]) -> mapping.Plan:
    tables: dict[str, Table] = {"fieldwork": mapping.identity(leaves)}
    if hasattr(model, "tables"):
      tables.update(model.tables())
    if self.names not in tables:
      raise ConfigError(f"names={self.names}: this network knows {', '.join(tables)}{did_you_mean(self.names, tables)}")
    try:
      return mapping.plan(file, tables[self.names], leaves, fresh=self.fresh, unused=self.unused)
    except WeightsError as error:
      found = {name: sum(row.theirs in file.tensors for row in table.rows) for name, table in tables.items()}
      best = max(found, key=lambda name: found[name])
      if found[best] > found[self.names]:
        raise WeightsError(f"{error}\n  Its names look like names={best}, not {self.names}.") from None
      raise


def _report(file: WeightsFile, plan: mapping.Plan, leaves: Mapping[str, Any]) -> str:
  number = sum(math.prod(leaves[path].shape) for path in plan.fills)
  parts = [f"{len(plan.fills)} arrays ({number:,} numbers) from {file.path}", *plan.notes]
  parts += [f"fresh: {', '.join(plan.fresh)}"] if plan.fresh else []
  parts += [f"not used: {mapping.shortened(plan.left)}"] if plan.left else []
  return "; ".join(parts)


def save(path: str | os.PathLike, params: Any, buffers: Any, *, config_hash: str) -> None:
  """Writes our own safetensors file: every array under its path, bit for bit, and a digest by which damage is noticed.

  Args:
    path: *.safetensors.
    params: parameters, whole on this process.
    buffers: running statistics.
    config_hash: of the experiment.
  """
  leaves = {**rules.paths(params), **rules.paths(buffers)}
  metadata = {"format": "fieldwork", "config_hash": config_hash}
  safetensors_file.write(epath.Path(path), _Host(leaves), metadata, digest=True)


def export(path: str | os.PathLike, table: Table, params: Any, buffers: Any) -> None:
  """Writes the weights under another library's names and in its layouts.

  Args:
    path: *.safetensors (torch's libraries), *.h5 (Keras: `model.load_weights(path)`) or *.npz.
    table: the names.
    params: parameters, whole on this process.
    buffers: running statistics.

  Raises:
    ConfigError: the path ends in none of these.
  """
  target = epath.Path(path)
  arrays = mapping.Theirs(table, {**rules.paths(params), **rules.paths(buffers)})
  match target.suffix:
    case ".safetensors":
      safetensors_file.write(target, arrays, {"format": "pt"}, digest=False)  # what from_pretrained asks for
    case ".h5":
      keras_file.write(target, arrays)
    case ".npz":
      npz_file.write(target, arrays)
    case _:
      raise ConfigError(f"{path}: weights are exported to .safetensors, .h5 or .npz")


class _Host(Mapping[str, np.ndarray]):
  """Device arrays, brought to the host one at a time."""

  def __init__(self, leaves: Mapping[str, jax.Array]):
    self._leaves = leaves

  def __getitem__(self, name: str) -> np.ndarray:
    return np.asarray(self._leaves[name])

  def __iter__(self):
    return iter(self._leaves)

  def __len__(self) -> int:
    return len(self._leaves)
