"""Fits the tensors of a file to a network's parameters by a table, in both directions.

Every parameter is filled or named as fresh, every tensor of the file is used or named as unused; whatever does not fit is
collected and said at once, from the file's header alone.
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.nn.names import Row, Table
from research.pretrained.files import Tensor, WeightsError, WeightsFile

_ORDERS = {"linear": (1, 0), "conv": (2, 3, 1, 0), "conv1d": (2, 1, 0), "depthwise": (0, 1, 3, 2)}  # ours from theirs
_Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Piece:
  """A tensor, or a part of one, that is one of our parameters or one layer of it; under several names, or none, in the file."""

  row: Row
  theirs: tuple[str, ...]
  layer: int | None
  shape: _Shape  # ours


@dataclasses.dataclass(frozen=True)
class Plan:
  """What fills what; nothing has been read.

  Attributes:
    fills: our path to the pieces that fill it, by layer.
    fresh: our paths that keep their values.
    left: the file's tensors that are not used.
    notes: what is not a plain copy, for the log.
    fixed: the file's tensors that follow from the configuration, and what computes them.
  """

  fills: dict[str, list[_Piece]]
  fresh: list[str]
  left: list[str]
  notes: list[str]
  fixed: list[tuple[str, Callable[[], np.ndarray]]]


def identity(leaves: Mapping[str, Any]) -> Table:
  """The table of our own files: each parameter under its path."""
  return Table(tuple(Row(path, path) for path in leaves))


def plan(file: WeightsFile, table: Table, leaves: Mapping[str, Any], *, fresh: Sequence[str] = (),
         unused: Sequence[str] = ()) -> Plan:
  """Decides what fills what, and checks all shapes and types.

  Args:
    file: an open file.
    table: its names.
    leaves: our parameters and running statistics by path, abstract or not.
    fresh: regexes of our paths that keep their values (a new head); what the file has for them is not used.
    unused: regexes of the file's tensors that are not used, beside those that the table knows of.

  Raises:
    WeightsError: all that does not fit: missing, unused, wrong shape or type, assigned twice.
  """
  problems: dict[str, list[str]] = collections.defaultdict(list)
  keep = [path for path in leaves if any(re.fullmatch(pattern, path) for pattern in fresh)]
  bare = bool(table.prefix) and not any(name.startswith(table.prefix) for name in file.tensors)
  called = {_newer(name, table): name for name in file.tensors}
  fills: dict[str, list[_Piece]] = {path: [] for path in leaves if path not in keep}
  left, notes, used, parts = [], set(), set(), collections.defaultdict(list)

  for row in table.rows:
    names = [name.removeprefix(table.prefix) if bare else name for name in (row.theirs, *row.also)]
    names = [called.get(name, name) for name in names]
    theirs, there = names[0], [name for name in names if name in file.tensors]
    place = locate(row.ours, leaves)
    if place is None:
      problems["in the table, but not in the network"].append(f"{row.ours} (from {theirs})")
      continue
    path, layer = place
    shape = leaves[path].shape if layer is None else leaves[path].shape[1:]
    piece = _Piece(row, tuple(there), layer, shape)
    if path in keep:
      left += there
    elif any(other.layer == layer for other in fills[path]):
      problems["filled twice"].append(f"{row.ours} (again from {theirs})")
    else:
      fills[path].append(piece)
      if not there and row.absent is None:
        problems["missing in the file"].append(f"{theirs} {_expected(piece)} for {row.ours}")
      elif not there:
        notes.add(f"{row.ours}: {row.absent}, as the file has no {theirs}")
      for name in there:
        if problem := _misfit(piece, file.tensors[name], leaves[path].dtype, notes):
          problems["of the wrong shape or type"].append(f"{name} {problem}, for {row.ours}")
    used.update(names)
    if row.part:
      parts[theirs].append(row.part)

  for path, pieces in fills.items():
    layers = {piece.layer for piece in pieces}
    if layers != {None} and layers != set(range(leaves[path].shape[0] if leaves[path].shape else 0)):
      problems["not in the table"].append(f"{path} {tuple(leaves[path].shape)}" + (" (some of its layers)" if layers else ""))
  for theirs, found in parts.items():
    if sorted(found) != [(k, found[0][1]) for k in range(found[0][1])]:
      problems["used in part only"].append(theirs)
  fixed = [(name.removeprefix(table.prefix) if bare else name, compute) for name, compute in table.fixed]
  fixed = [(name, compute) for name, compute in fixed if name in file.tensors]
  used.update(name for name, _ in fixed)
  known = [*table.unused, *unused]
  for name in file.tensors:
    if name not in used:
      if any(re.fullmatch(pattern, name) for pattern in known):
        left.append(name)
      else:
        problems["in the file, but not used"].append(f"{name} {file.tensors[name].shape}")
  problems["rules that match nothing"] += [f"fresh {p!r}" for p in fresh if not any(re.fullmatch(p, path) for path in leaves)]
  problems["rules that match nothing"] += [f"unused {p!r}" for p in unused if not any(re.fullmatch(p, n) for n in file.tensors)]
  if any(problems.values()):
    lines = [f"  {what} ({len(which)}): {shortened(which)}" for what, which in problems.items() if which]
    raise WeightsError(f"{file.path} does not fit the network:\n" + "\n".join(lines))
  for pieces in fills.values():
    pieces.sort(key=lambda piece: piece.layer or 0)
  return Plan(fills, keep, left, sorted(notes), fixed)


def _newer(name: str, table: Table) -> str:
  return next((name.removesuffix(old) + new for old, new in table.older if name.endswith(old)), name)


def locate(ours: str, leaves: Mapping[str, Any]) -> tuple[str, int | None] | None:
  """The parameter, and the layer of it if it is stacked over layers."""
  if ours in leaves:
    return ours, None
  words = ours.split("/")
  for i in reversed(range(len(words))):
    path = "/".join(words[:i] + words[i + 1:])
    if words[i].isdecimal() and path in leaves and leaves[path].shape and int(words[i]) < leaves[path].shape[0]:
      return path, int(words[i])
  return None


def _expected(piece: _Piece) -> _Shape:
  """The shape of the piece in the file."""
  row = piece.row
  if row.shape is not None:
    known = math.prod(n for n in row.shape if n >= 0)
    return tuple(n if n >= 0 else math.prod(piece.shape) // known for n in row.shape)
  order = _order(row, len(piece.shape))
  return tuple(piece.shape[order.index(d)] for d in range(len(order))) if len(order) == len(piece.shape) else piece.shape


def _order(row: Row, rank: int) -> tuple[int, ...]:
  return _ORDERS.get(row.layout, tuple(range(rank)))


def _outputs(row: Row, rank: int) -> int:
  """The file's dimension that is our last."""
  return _order(row, rank)[-1] if rank else 0


def _misfit(piece: _Piece, tensor: Tensor, dtype, notes: set[str]) -> str:
  """What is wrong with a tensor for this piece, or nothing; adds to the notes what is worth saying."""
  if not jnp.issubdtype(tensor.dtype, jnp.floating):
    return f"is of type {tensor.dtype}"
  found, expected, row = tensor.shape, _expected(piece), piece.row
  if row.part:
    at = _outputs(row, len(found))
    if not found or found[at] % row.part[1]:
      return f"has shape {found}, which is not {row.part[1]} parts of {expected}"
    found = (*found[:at], found[at] // row.part[1], *found[at + 1:])
  if found != expected:
    if row.adapt is None or len(found) != len(expected):
      return f"has shape {found}, not {expected}"
    try:
      adapted = _ours(piece, np.broadcast_to(np.zeros((), np.float32), tensor.shape)).shape
    except ValueError as error:
      return f"has shape {found}, not {expected} ({error})"
    if adapted != piece.shape:
      return f"has shape {found}, not {expected}"
    notes.add(f"{row.ours}: {found} fitted to {piece.shape}")
  if tensor.dtype != dtype:
    notes.add(f"{tensor.dtype} became {dtype}")
  return ""


def shortened(items: list[str], limit: int = 5) -> str:
  """All items, those that differ in numbers only told once; at most so many kinds."""
  kinds: dict[str, list[str]] = collections.defaultdict(list)
  for item in items:
    kinds[re.sub(r"\d+", "*", item.partition(" ")[0])].append(item)
  shown = [first + (f" and {len(rest)} more like it" if rest else "") for first, *rest in list(kinds.values())[:limit]]
  rest = sum(map(len, list(kinds.values())[limit:]))
  return "; ".join(shown + ([f"and {rest} more"] if rest else []))


# --- reading ---------------------------------------------------------------------------------------------------------


def _ours(piece: _Piece, array: np.ndarray) -> np.ndarray:
  """A tensor of the file, as this piece of ours."""
  row = piece.row
  if row.part:
    k, n = row.part
    array = np.split(array, n, _outputs(row, array.ndim))[k]
  fits = array.shape == _expected(piece)
  array = array.transpose(_order(row, array.ndim))
  return array.reshape(piece.shape) if fits else np.asarray(row.adapt(array, piece.shape)) if row.adapt else array


def fill(file: WeightsFile, plan: Plan, leaves: Mapping[str, Any]) -> dict[str, jax.Array]:
  """Reads what a plan says, a tensor at a time, to where each leaf lies.

  Args:
    file: as planned.
    plan: from `plan`.
    leaves: arrays or ShapeDtypeStructs by path; their shardings and types are kept. Fresh ones must be arrays.

  Returns:
    All leaves by path, in their order.

  Raises:
    WeightsError: a tensor is damaged or not finite.
  """

  @functools.lru_cache(1)  # a leaf that is spread over devices is asked for piece by piece
  def read(name: str) -> np.ndarray:
    return file.tensors[name].read()

  def values(pieces: list[_Piece], dtype, index: tuple[slice, ...] | None) -> np.ndarray:
    assert index is not None
    if pieces[0].layer is not None:
      return np.stack([values([dataclasses.replace(p, layer=None)], dtype, index[1:]) for p in pieces[index[0]]])
    piece = pieces[0]
    if not piece.theirs:
      return np.full(piece.shape, piece.row.absent, dtype)[index]
    array, *copies = (_ours(piece, read(name))[index] for name in piece.theirs)
    for name, copy in zip(piece.theirs[1:], copies):
      if not np.array_equal(copy, array):
        raise WeightsError(f"{file.path}: tensors {piece.theirs[0]!r} and {name!r} differ; this network has one for both")
    array = np.array(array, dtype=dtype, order="C")
    if not np.isfinite(array).all():
      raise WeightsError(f"{file.path}: tensor {piece.theirs[0]!r} holds values that are not finite in {dtype}: it is damaged")
    return array

  for name, compute in plan.fixed:
    array, expected = read(name), compute()
    if array.shape != expected.shape or not np.allclose(array.astype(expected.dtype), expected, rtol=0, atol=1e-2):
      raise WeightsError(f"{file.path}: tensor {name!r} should follow from the configuration, but is another")
  result = {}
  for path, leaf in leaves.items():
    if path not in plan.fills:
      assert isinstance(leaf, jax.Array), f"{path} is fresh, but has no values"
      result[path] = leaf
      continue
    at = functools.partial(values, plan.fills[path], np.dtype(leaf.dtype))
    whole = (slice(None),) * len(leaf.shape)
    result[path] = (jnp.array(at(whole)) if leaf.sharding is None
                    else jax.make_array_from_callback(leaf.shape, leaf.sharding, at, dtype=leaf.dtype))
  return result


# --- writing ---------------------------------------------------------------------------------------------------------


class Theirs(Mapping[str, np.ndarray]):
  """Our parameters under a table's names and in its layouts; each array is made when it is asked for.

  Raises KeyError when made, if the table has rows that the leaves have not.
  """

  def __init__(self, table: Table, leaves: Mapping[str, jax.Array]):
    self._leaves, self._fixed, self._pieces = leaves, dict(table.fixed), collections.defaultdict(list)
    for row in table.rows:
      place = locate(row.ours, leaves)
      if place is None:
        raise KeyError(row.ours)
      path, layer = place
      shape = leaves[path].shape if layer is None else leaves[path].shape[1:]
      self._pieces[row.theirs].append((path, _Piece(row, (row.theirs,), layer, shape)))

  def __getitem__(self, name: str) -> np.ndarray:
    if name in self._fixed:
      return self._fixed[name]()
    pieces = sorted(self._pieces[name], key=lambda item: item[1].row.part or (0, 1))
    arrays = [self._theirs(path, piece) for path, piece in pieces]
    at = _outputs(pieces[0][1].row, arrays[0].ndim)
    return np.ascontiguousarray(np.concatenate(arrays, at) if len(arrays) > 1 else arrays[0])

  def _theirs(self, path: str, piece: _Piece) -> np.ndarray:
    array = np.asarray(self._leaves[path] if piece.layer is None else self._leaves[path][piece.layer])
    expected = _expected(piece)
    order = _order(piece.row, len(expected))
    return array.reshape([expected[d] for d in order]).transpose(np.argsort(order))

  def __iter__(self) -> Iterator[str]:
    return iter([*self._pieces, *self._fixed])

  def __len__(self) -> int:
    return len(self._pieces) + len(self._fixed)
