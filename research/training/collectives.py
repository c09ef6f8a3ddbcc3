"""What devices say to each other, read from a compiled program.

The text is that of `compiled.as_text()`. It is a static count: a collective inside a loop's body counts once, whatever
the number of turns.
"""

import re
from typing import NamedTuple

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast",
          "ragged-all-to-all")
_INSTRUCTION = re.compile(rf"^\s*(?:ROOT )?%?[\w.-]+ = (.+?) ({'|'.join(_KINDS)})(-start)?\(", re.M)
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_BITS = re.compile(r"\d+")


class Traffic(NamedTuple):
  """How many collectives of one kind, and the bytes of their results on one device."""

  count: int
  bytes: int


def collectives(hlo_text: str) -> dict[str, Traffic]:
  """Counts the collectives of a compiled program; kinds that do not occur are absent.

  An asynchronous pair (`-start`, `-done`) counts once. Several arrays reduced by one instruction are one collective.
  """
  found = {}
  for result, kind, start in _INSTRUCTION.findall(hlo_text):
    parts = _elements(result)
    if start and kind in ("all-gather", "collective-permute"):  # (operands, results, ...); others start with their result
      parts = parts[1:2]
    size = sum(_array_bytes(*array) for part in parts for array in _ARRAY.findall(part))
    old = found.get(kind, Traffic(0, 0))
    found[kind] = Traffic(old.count + 1, old.bytes + size)
  return found


def _elements(shape: str) -> list[str]:
  """The elements of a tuple type, one level deep; [shape] if it is no tuple."""
  if not shape.startswith("("):
    return [shape]
  elements, depth = [""], 0
  for character in shape[1:-1]:
    depth += (character in "([{") - (character in ")]}")
    if character == "," and depth == 0:
      elements.append("")
    else:
      elements[-1] += character
  return elements


def _array_bytes(dtype: str, dims: str) -> int:
  bits = 8 if dtype == "pred" else int(_BITS.findall(dtype)[0])
  count = 1
  for dim in filter(None, dims.split(",")):
    count *= int(dim)
  return (count * bits + 7) // 8
