"""What a compiled program moves, read from its text: bytes to and from memory, and collectives by kind.

XLA's own cost analysis takes the body of a loop once and on GPUs says nothing. Here a loop counts as often as it turns.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128, "token": 0}
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([\d,]*)\](\{[^}]*\})?")
_COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute", "ragged-all-to-all",
                "collective-broadcast")
_FREE = frozenset({"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id",
                   "iota", "broadcast", "opt-barrier", "add-dependency", "domain"})
_PRODUCT_CALLS = ("gemm", "matmul", "cublas", "cudnn", "conv")


@dataclasses.dataclass(frozen=True)
class Instruction:
  """A line: `%name = type opcode(operands), rest`."""

  name: str
  type: str
  opcode: str
  operands: tuple[str, ...]
  rest: str
  root: bool

  def called(self, attribute: str) -> str:
    found = re.search(rf"\b{attribute}=%?([\w.\-]+)", self.rest)
    return found[1] if found else ""


@dataclasses.dataclass
class Collective:
  """Those of a kind in one step, on one device.

  Attributes:
    count: how many.
    bytes: of what is gathered, reduced or sent, whole.
    wire: bytes that leave a device if they go around a ring.
  """

  count: int = 0
  bytes: float = 0.0
  wire: float = 0.0


@dataclasses.dataclass
class Traffic:
  """What one device moves in a step.

  Attributes:
    products: bytes between memory and what holds a matrix product or a convolution.
    others: of all else.
    collectives: by kind.
    hidden: of the wire's bytes those that the compiler lets other work go on beside.
    notes: what could not be known.
  """

  products: float = 0.0
  others: float = 0.0
  collectives: dict[str, Collective] = dataclasses.field(default_factory=dict)
  hidden: float = 0.0
  notes: tuple[str, ...] = ()

  @property
  def bytes(self) -> float:
    return self.products + self.others

  @property
  def wire(self) -> float:
    return sum(c.wire for c in self.collectives.values())


def traffic(text: str) -> Traffic:
  """Reads a compiled program, `compiled.as_text()`."""
  return _Program(text).traffic()


def size(shape: str, *, in_memory: bool = False) -> float:
  """Bytes of a type; with `in_memory` only of what lies in the device's main memory, as a TPU's layouts say (S(1): not)."""
  return sum(_bits(kind) * math.prod(int(n) for n in dims.split(",") if n) / 8 for kind, dims, layout in _ARRAY.findall(shape)
             if not (in_memory and re.search(r"S\([1-9]", layout)))


def _bits(kind: str) -> int:
  if kind in _BITS:
    return _BITS[kind]
  digits = re.match(r"[a-z]+(\d+)", kind)  # s8, u32, f8e4m3fn, s4
  return int(digits[1]) if digits else 0


class _Program:

  def __init__(self, text: str):
    self.computations: dict[str, dict[str, Instruction]] = {}
    self.entry = ""
    current: dict[str, Instruction] | None = None
    for line in text.splitlines():
      head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
      if head:
        current = self.computations[head[2]] = {}
        self.entry = head[2] if head[1] else self.entry
      elif line.startswith("}"):
        current = None
      elif current is not None and " = " in line:
        instruction = _instruction(line)
        current[instruction.name] = instruction
    assert self.entry, "no entry computation in the program's text"
    self.channels: set[str] = set()

  def traffic(self) -> Traffic:
    total = Traffic()
    self._walk(self.entry, 1, total)
    total.notes = tuple(dict.fromkeys(total.notes))
    return total

  def _walk(self, name: str, times: int, total: Traffic) -> None:
    computation = self.computations.get(name, {})
    for instruction in computation.values():
      match instruction.opcode:
        case "while":
          turns = self._turns(instruction)
          if turns is None:
            total.notes += ("a loop whose turns only the run knows is counted once",)
          self._walk(instruction.called("body"), times * (turns or 1), total)
        case "conditional":
          listed = re.search(r"branch_computations=\{([^}]*)\}", instruction.rest)
          branches = re.findall(r"%([\w.\-]+)", listed[1]) if listed else []
          branches = branches or [instruction.called("true_computation"), instruction.called("false_computation")]
          self._walk(max(branches, key=self._alone), times, total)
        case "call" | "async-start":
          self._walk(instruction.called("to_apply") or instruction.called("calls"), times, total)
        case opcode if opcode in _FREE or opcode.endswith(("-done", "-update")):
          pass
        case opcode if opcode.removesuffix("-start") in _COLLECTIVES:
          self._collective(instruction, computation, "", times, total)
        case "fusion":
          self._fusion(instruction, computation, times, total)
        case _:
          moved = times * self._moved(instruction, computation)
          if self._is_product(instruction):
            total.products += moved
          else:
            total.others += moved

  @functools.cache  # noqa: B019 (lives as long as the program it reads)
  def _alone(self, name: str) -> float:
    channels, total = set(self.channels), Traffic()
    self._walk(name, 1, total)
    self.channels = channels
    return total.bytes

  def _turns(self, loop: Instruction) -> int | None:
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest)
    if known:
      return int(known[1])
    constants = (i for i in self._nested(loop.called("condition")) if i.opcode == "constant" and i.type.startswith("s"))
    bounds = {int(value) for constant in constants for value in constant.operands}
    return bounds.pop() if len(bounds) == 1 else None

  def _nested(self, name: str) -> Iterator[Instruction]:
    for instruction in self.computations.get(name, {}).values():
      yield instruction
      if instruction.opcode == "fusion":
        yield from self._nested(instruction.called("calls"))

  def _is_product(self, instruction: Instruction) -> bool:
    if instruction.opcode == "custom-call":
      target = re.search(r'custom_call_target="([^"]*)"', instruction.rest)
      return target is not None and any(word in target[1].lower() for word in _PRODUCT_CALLS)
    return instruction.opcode in ("dot", "convolution", "ragged-dot")

  def _fusion(self, fusion: Instruction, computation: dict[str, Instruction], times: int, total: Traffic) -> None:
    name = fusion.called("calls")
    inside = list(self._nested(name))
    for instruction in inside:
      if instruction.opcode.removesuffix("-start") in _COLLECTIVES:
        self._collective(instruction, self.computations[name], name, times, total, hidden="Async" in str(
            [i.rest for i in inside if i.opcode == "custom-call"]))
    moved = times * self._fused(fusion, computation, self.computations.get(name, {}))
    if any(map(self._is_product, inside)):
      total.products += moved
    else:
      total.others += moved

  def _fused(self, fusion: Instruction, outside: dict[str, Instruction], inside: dict[str, Instruction]) -> float:
    """Of an operand of which only a slice is read, or into which one is written, the slice counts."""
    users: dict[str, list[Instruction]] = {}
    for instruction in inside.values():
      for operand in instruction.operands:
        users.setdefault(operand, []).append(instruction)
    moved = 0.0
    for parameter in (i for i in inside.values() if i.opcode == "parameter"):
      at = int(parameter.operands[0])
      whole = size(outside[fusion.operands[at]].type, in_memory=True) if fusion.operands[at] in outside else 0.0
      through = self._through(parameter.name, users)
      parts = [size(user.type) for user, first in through if first and user.opcode in ("dynamic-slice", "slice", "gather")]
      written = [0.0 for user, first in through if first and user.opcode in ("dynamic-update-slice", "scatter")]
      moved += min(whole, sum(parts)) if len(parts) + len(written) == len(through) else whole
    root = next((i for i in inside.values() if i.root), None)
    ends = [] if root is None else [inside[o] for o in root.operands if o in inside] if root.opcode == "tuple" else [root]
    outputs = _elements(fusion.type) if root is not None and root.opcode == "tuple" else [fusion.type]
    for end, kind in zip(ends, outputs):
      end = self._source(end, inside)
      update = end.operands[1] if end.opcode == "dynamic-update-slice" else end.operands[-1] if end.opcode == "scatter" else ""
      moved += min(size(kind, in_memory=True), size(inside[update].type) if update in inside else math.inf)
    return moved

  def _through(self, name: str, users: dict[str, list[Instruction]]) -> list[tuple[Instruction, bool]]:
    """What uses a value, looked for behind what only names it anew; whether as its first operand."""
    found = []
    for user in users.get(name, []):
      if user.opcode == "bitcast":
        found += self._through(user.name, users)
      else:
        found.append((user, user.operands[0] == name))
    return found

  def _source(self, instruction: Instruction, inside: dict[str, Instruction]) -> Instruction:
    while instruction.opcode == "bitcast" and instruction.operands[0] in inside:
      instruction = inside[instruction.operands[0]]
    return instruction

  def _moved(self, instruction: Instruction, computation: dict[str, Instruction]) -> float:
    kinds = [computation[o].type for o in instruction.operands if o in computation]
    out = size(instruction.type, in_memory=True)
    match instruction.opcode:
      case "dynamic-slice" | "gather" | "slice":
        return 2 * out
      case "dynamic-update-slice":
        return 2 * size(kinds[1])
      case "scatter":
        return 3 * size(kinds[-1])
      case opcode if opcode.endswith("-start"):  # its type names what is read and what is written, each where it lies
        return out
      case "custom-call" if "AllocateBuffer" in instruction.rest:
        return 0.0
    return out + sum(size(kind, in_memory=True) for kind in kinds)

  def _collective(self, instruction: Instruction, computation: dict[str, Instruction], inside: str, times: int, total: Traffic,
                  hidden: bool = False) -> None:
    channel = re.search(r"channel_id=(\d+)", instruction.rest)
    if channel and channel[1] in self.channels:
      return  # on TPUs the beginning, the middle and the end of one that other work goes on beside
    self.channels |= {channel[1]} if channel else set()
    kind = instruction.opcode.removesuffix("-start")
    kind = "reduce-scatter" if inside.startswith("all-reduce-scatter") else kind
    num = _group(instruction.rest)
    given = sum(size(computation[o].type) for o in instruction.operands if o in computation)
    whole = given * num if kind == "all-gather" else given
    share = {"all-reduce": 2 * (num - 1) / num, "collective-permute": 1.0}.get(kind, (num - 1) / num)
    found = total.collectives.setdefault(kind, Collective())
    found.count += times
    found.bytes += times * whole
    found.wire += times * whole * share
    if hidden or (instruction.opcode.endswith("-start") and '"is_sync":true' not in instruction.rest):
      total.hidden += times * whole * share


def _instruction(line: str) -> Instruction:
  left, _, right = line.strip().partition(" = ")
  kind, rest = (_balanced(right) if right.startswith("(") else right.split(" ", 1))
  opcode, rest = rest.strip().split("(", 1)
  inner, rest = _balanced("(" + rest)
  names = re.findall(r"%([\w.\-]+)", inner) if opcode not in ("parameter", "constant") else [inner[1:-1]]
  if opcode == "constant":
    names = re.findall(r"^-?\d+$", inner[1:-1])
  return Instruction(left.removeprefix("ROOT ").lstrip("%"), kind, opcode, tuple(names), rest, left.startswith("ROOT "))


def _balanced(text: str) -> tuple[str, str]:
  """The leading parenthesis and what follows it."""
  depth = 0
  for i, letter in enumerate(text):
    depth += (letter == "(") - (letter == ")")
    if not depth:
      return text[:i + 1], text[i + 1:]
  return text, ""


def _elements(kind: str) -> list[str]:
  """Of a tuple's type, those of its elements; tuples in tuples do not come out of fusions."""
  return [found[0] for found in _ARRAY.finditer(kind)]


def _group(rest: str) -> int:
  """How many devices take part."""
  if found := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
    return max(1, found[1].count(",") + 1)
  if found := re.search(r"replica_groups=\[(\d+),(\d+)\]", rest):
    return int(found[2])
  if found := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", rest):
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", found[1]))
    return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", found[2]) if axis in sizes)
  return 2  # collective-permute: from one to another
