"""Configuration: trees of frozen dataclasses, seen as leaves with paths, as overrides, as JSON and as a hash.

An experiment *is* its configuration: the dataclasses are the constructor arguments of what runs. This module never
knows which ones; it walks any tree of dataclasses, tuples of dataclasses and dictionaries of dataclasses.
"""

import dataclasses
import difflib
import functools
import hashlib
import importlib
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from research.config_values import ConfigError, Duration, UserError, check, is_text, parse, type_name

__all__ = ["ConfigError", "Duration", "Leaf", "UserError", "check", "config_hash", "detail", "did_you_mean", "differences",
           "from_json", "from_words", "leaves", "outside", "override", "parse", "summary", "to_json", "type_name"]

_T = TypeVar("_T")
_REQUIRED = dataclasses.MISSING


def outside(default: Any = _REQUIRED) -> Any:
  """A field that is not configuration: no flag, not in config.json, not in the hash (papers, targets)."""
  return dataclasses.field(default=default, metadata={"outside": True})


def detail(default: Any) -> Any:
  """A setting that cannot change a result (how often to log): it has a flag but does not enter the hash."""
  return dataclasses.field(default=default, metadata={"detail": True})


# --- walking the tree ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One setting: its dotted path, its declared type, its value, what its class's docstring says of it."""

  path: str
  hint: Any
  value: Any
  doc: str
  detail: bool


def _is_node(value) -> bool:
  if dataclasses.is_dataclass(value) and not isinstance(value, (Duration, type)):
    return True
  items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
  return bool(items) and all(_is_node(v) for v in items)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
  return typing.get_type_hints(cls)


@functools.cache
def _docs(cls: type) -> dict[str, str]:
  """The `Attributes:` section of a class's docstring and its bases': name to text."""
  docs = {}
  for base in reversed(cls.__mro__):
    section = re.search(r"Attributes:\n(.*)", inspect.getdoc(base) or "" if "__doc__" in vars(base) else "", re.S)
    for name, text in re.findall(r"^ {2}(\w+): (.*(?:\n {4,}.*)*)", section[1] if section else "", re.M):
      docs[name] = re.sub(r"\s+", " ", text)
  return docs


def _fields(node) -> Iterator[tuple[dataclasses.Field, Any]]:
  """The configuration fields of a dataclass with their types."""
  for field in dataclasses.fields(node):
    if not field.metadata.get("outside") and field.init:
      yield field, _hints(type(node))[field.name]


def leaves(node, prefix: str = "", *, detail: bool = False) -> Iterator[Leaf]:
  """Every setting of a tree, in the order of the fields."""
  if dataclasses.is_dataclass(node):
    for field, hint in _fields(node):
      path, value = f"{prefix}{field.name}", getattr(node, field.name)
      is_detail = detail or field.metadata.get("detail", False)
      if _is_node(value):
        yield from leaves(value, path + ".", detail=is_detail)
      else:
        yield Leaf(path, hint, value, _docs(type(node)).get(field.name, ""), is_detail)
  else:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
      yield from leaves(value, f"{prefix}{key}.", detail=detail)


def summary(node) -> str:
  """All settings, a line for each object in the tree."""
  lines: dict[str, list[str]] = {}
  for leaf in leaves(node):
    parent, _, name = leaf.path.rpartition(".")
    lines.setdefault(parent, []).append(f"{name}={leaf.value}")
  return "\n".join(f"  {parent + ': ' if parent else ''}{'  '.join(words)}" for parent, words in lines.items())


def override(config: _T, changes: dict[str, Any]) -> _T:
  """Returns the tree with leaves replaced.

  Args:
    config: a tree of frozen dataclasses.
    changes: dotted path to new value; values are typed, or text as on the command line.

  Raises:
    ConfigError: a path that does not exist, a value of the wrong type, in the tree or given, or one that a class refuses.
  """
  known = {leaf.path: leaf for leaf in leaves(config)}
  for leaf in known.values():
    check(leaf.value, leaf.hint, leaf.path)
  nested: dict = {}
  for path, value in changes.items():
    if path not in known:
      raise ConfigError(f"there is no setting {path!r}{did_you_mean(path, known)}")
    hint = known[path].hint
    value = parse(value, hint, path) if isinstance(value, str) and not is_text(hint) else value
    check(value, hint, path)
    *parents, last = path.split(".")
    at = nested
    for key in parents:
      at = at.setdefault(key, {})
    at[last] = value
  return _rebuild(config, nested, "")


def from_words(config: _T, words: Sequence[str]) -> _T:
  """Returns the tree with leaves replaced as words of the form --name=value say.

  Raises:
    ConfigError: a word of another form; what `override` raises.
  """
  known, changes = sorted(leaf.path for leaf in leaves(config)), {}
  for word in words:
    name, _, value = word.removeprefix("--").partition("=")
    if not word.startswith("--") or name not in known:
      raise ConfigError(f"{word!r}: settings are given as --name=value; there are {', '.join(known)}")
    changes[name] = value
  return override(config, changes)


def _rebuild(node, changes: dict, prefix: str):
  if dataclasses.is_dataclass(node):
    new = {k: _rebuild(getattr(node, k), v, f"{prefix}{k}.") if isinstance(v, dict) else v for k, v in changes.items()}
    try:
      return dataclasses.replace(node, **new)
    except ConfigError:
      raise
    except (ValueError, TypeError) as error:
      given = ", ".join(f"--{prefix}{k}={v}" for k, v in changes.items() if not isinstance(v, dict))
      raise ConfigError(f"{given or prefix.rstrip('.')}: {error}") from error
  items = dict(node) if isinstance(node, dict) else dict(enumerate(node))
  for key, value in changes.items():
    at = key if isinstance(node, dict) else int(key)
    items[at] = _rebuild(items[at], value, f"{prefix}{key}.")
  return items if isinstance(node, dict) else tuple(items.values())


def did_you_mean(word: str, words) -> str:
  """`. Did you mean "x"?`, or nothing if no word is near."""
  near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
  return f'. Did you mean "{near[0]}"?' if near else ""


# --- JSON and hash ---------------------------------------------------------------------------------------------------


def to_json(node) -> Any:
  """The tree as JSON values; every dataclass carries its class."""
  if isinstance(node, Duration):
    return str(node)
  if dataclasses.is_dataclass(node):
    fields = {field.name: to_json(getattr(node, field.name)) for field, _ in _fields(node)}
    return {"class": f"{type(node).__module__}.{type(node).__qualname__}", **fields}
  if isinstance(node, dict):
    return {k: to_json(v) for k, v in node.items()}
  return [to_json(v) for v in node] if isinstance(node, tuple) else node


def from_json(data, like=None) -> Any:
  """The inverse of `to_json`. Fields that are not configuration (papers, targets) are taken from `like`."""
  return _read(data, Any, like)


def _read(data, hint, like):
  if isinstance(data, dict) and "class" in data:
    module, _, name = data["class"].rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    given = {f.name: getattr(like, f.name) for f in dataclasses.fields(cls) if f.metadata.get("outside") and like is not None}
    hints = _hints(cls)
    return cls(**given, **{k: _read(v, hints[k], getattr(like, k, None)) for k, v in data.items() if k != "class"})
  if isinstance(data, dict):
    return {k: _read(v, Any, like.get(k) if isinstance(like, dict) else None) for k, v in data.items()}
  if isinstance(data, list):
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    args = next((typing.get_args(o) for o in options if typing.get_origin(o) is tuple), ())
    inner = lambda i: args[0] if args and args[-1] is Ellipsis else args[i] if args else Any
    return tuple(_read(v, inner(i), like[i] if isinstance(like, tuple) and i < len(like) else None) for i, v in enumerate(data))
  options = typing.get_args(hint) or (hint,)
  if Duration in options and isinstance(data, str):
    return Duration.parse(data)
  return float(data) if hint is float and type(data) is int else data


def _essential(node, full: bool):
  """JSON of what decides the result: no details, and of each class only what differs from its defaults."""
  if dataclasses.is_dataclass(node) and not isinstance(node, Duration):
    out = {"class": type(node).__qualname__}
    for field, _ in _fields(node):
      value = getattr(node, field.name)
      default = field.default if field.default is not _REQUIRED else (
          field.default_factory() if field.default_factory is not _REQUIRED else _REQUIRED)
      if field.metadata.get("detail"):
        continue
      if full or default is _REQUIRED or _essential(value, full) != _essential(default, full):
        out[field.name] = _essential(value, full)
    return out
  if isinstance(node, dict):
    return {k: _essential(v, full) for k, v in node.items()}
  return [_essential(v, full) for v in node] if isinstance(node, tuple) else to_json(node)


def config_hash(config) -> str:
  """12 hexadecimal digits over what differs from the defaults: a new field with a default changes no hash."""
  text = json.dumps(_essential(config, full=False), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(a, b) -> list[str]:
  """`path: old → new` for every setting that decides the result and differs between two trees."""
  flat_a, flat_b = dict(_flatten(_essential(a, True))), dict(_flatten(_essential(b, True)))
  missing = "(absent)"
  return [f"{path}: {flat_a.get(path, missing)} → {flat_b.get(path, missing)}"
          for path in dict.fromkeys([*flat_a, *flat_b]) if not _same(flat_a.get(path, missing), flat_b.get(path, missing))]


def _same(a, b) -> bool:
  return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def _flatten(data, prefix="") -> Iterator[tuple[str, Any]]:
  nested = isinstance(data, dict) or (isinstance(data, list) and any(isinstance(v, dict) for v in data))
  if not nested:
    yield prefix.rstrip("."), data
  else:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
      yield from _flatten(value, f"{prefix}{key}.")
