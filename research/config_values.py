"""The values that a setting can have: their types, how they are read from text, and what a mistake says.

`research/config.py` gives these names on; nothing else imports them from here.
"""

import ast
import dataclasses
import re
import types
import typing
from typing import Any, Literal

Unit = Literal["steps", "ep", "ex", "%"]


class UserError(ValueError):
  """A user's mistake, told in one line; launch.py prints it without a traceback."""


class ConfigError(UserError):
  """A mistake in a setting: the line names the field, the value and what is allowed."""


@dataclasses.dataclass(frozen=True)
class Duration:
  """A length of training: `10_000` steps, `90ep` epochs, `1_000_000ex` examples or `5%` of the whole run."""

  amount: float
  unit: Unit = "steps"

  @classmethod
  def parse(cls, text: "str | int | Duration") -> "Duration":
    """Reads the written form. Raises ValueError if it is not one."""
    if isinstance(text, Duration):
      return text
    match = re.fullmatch(r"\s*(\d[\d_]*(?:\.\d+)?(?:e\d+)?)\s*(ep|ex|%|)\s*", str(text))
    if not match:
      raise ValueError(f"{text!r} is no duration: give steps (10_000), epochs (90ep), examples (1_000_000ex) or 5%")
    amount, unit = float(match[1].replace("_", "")), typing.cast(Unit, match[2] or "steps")
    if unit == "steps" and not amount.is_integer():
      raise ValueError(f"{text!r} is not a whole number of steps")
    return cls(amount, unit)

  def steps(self, *, batch_size: float, steps_per_epoch: int, total: int | None = None) -> int:
    """Turns it into steps: rounded to the nearest, never below 1 unless the amount is 0.

    Args:
      batch_size: examples a step, over all devices; the mean where steps differ.
      steps_per_epoch: steps an epoch.
      total: the steps of the whole run, which a percentage refers to.
    """
    if self.unit == "%":
      if total is None:
        raise ConfigError(f"{self} has nothing to be a percentage of")
      exact = total * self.amount / 100
    else:
      exact = {"steps": self.amount, "ep": self.amount * steps_per_epoch, "ex": self.amount / batch_size}[self.unit]
    return max(round(exact), 1) if self.amount else 0

  def __str__(self):
    return f"{self.amount:.12g}{'' if self.unit == 'steps' else self.unit}"


def type_name(hint) -> str:
  """The type as the help shows it: `int`, `one of sgd, adam`, `two of float`, `float or None`."""
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    return " or ".join(type_name(a) for a in typing.get_args(hint))
  if typing.get_origin(hint) is Literal:
    return "one of " + ", ".join(map(str, typing.get_args(hint)))
  if typing.get_origin(hint) is tuple:
    args = typing.get_args(hint)
    if args[-1] is Ellipsis:
      return f"tuple of {type_name(args[0])}"
    return f"tuple of {len(args)}: {', '.join(type_name(a) for a in args)}"
  return {type(None): "None", Duration: "duration"}.get(hint, getattr(hint, "__name__", str(hint)))


def is_text(hint) -> bool:
  """Whether a string given in Python is a value of this type rather than text to be read."""
  options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
  return str in options or any(typing.get_origin(o) is Literal for o in options)


def parse(text: str, hint, path: str) -> Any:
  """Reads a value of the declared type from the command line. Raises ConfigError."""
  try:
    return _parse(text, hint)
  except (ValueError, SyntaxError) as error:
    why = f" ({error})" if hint is Duration else ""
    raise ConfigError(f"--{path}={text}: expected {type_name(hint)}{why}") from None


def _parse(text: str, hint):
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    if type(None) in args and text in ("None", "none"):
      return None
    for option in args:
      if option is not type(None):
        try:
          return _parse(text, option)
        except (ValueError, SyntaxError):
          continue
    raise ValueError
  if origin is Literal:
    return {str(a): a for a in args}[text] if text in map(str, args) else _refuse()
  if origin is tuple:
    return _parse_tuple(text, args)
  if hint is bool:
    return _BOOLS[text.lower()] if text.lower() in _BOOLS else _refuse()
  if hint is Duration:
    return Duration.parse(text)
  if hint in (int, float, str):
    return hint(text)
  raise ValueError


_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _refuse():
  raise ValueError


def _parse_tuple(text: str, args):
  text = text.strip().removesuffix(",")
  try:  # (1, 2), 1,2 and nested literals
    value = ast.literal_eval(f"({text},)") if text and not text.startswith(("(", "[")) else ast.literal_eval(text or "()")
    value = value if isinstance(value, (tuple, list)) else (value,)
  except (ValueError, SyntaxError):
    value = tuple(part.strip() for part in text.strip("()[]").split(","))  # bare words: a,b
  return _tuple(value, args, lambda v, hint: _parse(v, hint) if isinstance(v, str) and hint is not str else v)


def _tuple(values, args, convert):
  hints = [args[0]] * len(values) if args[-1] is Ellipsis else list(args)
  if len(hints) != len(values):
    raise ValueError(f"{len(values)} values")
  out = []
  for value, hint in zip(values, hints):
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
      value = _tuple(value, typing.get_args(hint), convert)
    value = convert(value, hint)
    value = float(value) if hint is float and type(value) is int else value
    if not _fits(value, hint):
      raise ValueError
    out.append(value)
  return tuple(out)


def _fits(value, hint) -> bool:
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return any(_fits(value, a) for a in args)
  if origin is Literal:
    return value in args
  if origin is tuple:
    hints = [args[0]] * len(value) if isinstance(value, tuple) and args[-1] is Ellipsis else args
    return isinstance(value, tuple) and len(value) == len(hints) and all(map(_fits, value, hints))
  if hint is float:
    return type(value) in (int, float)
  if hint in (int, bool, str):
    return type(value) is hint
  return not isinstance(hint, type) or getattr(hint, "_is_protocol", False) or isinstance(value, hint)


def check(value, hint, path: str) -> None:
  """Raises ConfigError if a value given in Python is not of the declared type."""
  if not _fits(value, hint):
    form = ', such as Duration(10_000) or Duration(90, "ep")' if hint is Duration else ""
    raise ConfigError(f"{path}={value!r}: expected {type_name(hint)}{form}")
