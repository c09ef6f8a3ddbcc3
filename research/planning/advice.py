"""What to do with a plan: the smallest slice that fits, the largest batch, what to recompute and how to cut, as a short table.

Nothing is advised that the compiler has not accepted: a step's memory is guessed from what was compiled before, then compiled.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator
from typing import Any

from research import config
from research.planning.compute import Compiled
from research.planning.devices import Chip, Device
from research.planning.roofline import Cost, cost

_REMAT = ("none", "dots", "full")  # the more is computed again, the less is kept
_MARGIN = 0.95  # of the memory is what a guess may fill


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
  """One way to train.

  Attributes:
    device: on what.
    changes: of the recipe, dotted path to value; {} is the recipe as it is.
    compiled: the step; None where it could not be compiled.
    cost: of as many examples as the recipe sees; None where it does not fit.
    problem: why it was not compiled, in a line.
  """

  device: Device
  changes: dict[str, Any]
  compiled: Compiled | None
  cost: Cost | None
  problem: str = ""

  @property
  def fits(self) -> bool:
    return self.compiled is not None and self.compiled.fits

  @property
  def step(self) -> Compiled:
    assert self.compiled is not None, self.problem
    return self.compiled

  @property
  def price(self) -> tuple[float, float]:
    """Hours, and dollars or chip-hours."""
    assert self.cost is not None
    return self.cost.hours, self.cost.hours * self.device.num_chips if self.cost.dollars is None else self.cost.dollars

  @property
  def same_result(self) -> bool:
    """Whether the changes leave what is learned as it is, but for rounding."""
    return "data.batch_size" not in self.changes


Compile = Callable[[Device, dict[str, Any]], Compiled | str]  # a line says why there is none


def options(experiment: Any, device: Device, compile_step: Compile, chips: dict[str, Chip], most: int) -> list[Option]:
  """The recipe on a device, then others, each compiled; `most` compilations in all.

  Where the recipe fits: cut over all devices, half the batch (which tells what an example takes), the largest batch, the
  smallest slice, less computed again. Where it does not: one remedy after the other until one helps, the larger slices last.
  """
  found: list[Option] = []

  def attempt(on: Device, changes: dict[str, Any]) -> Option:
    compiled = compile_step(on, changes)
    if isinstance(compiled, str):
      option = Option(device=on, changes=changes, compiled=None, cost=None, problem=compiled)
    else:
      option = Option(device=on, changes=changes, compiled=compiled, cost=_cost(compiled, found, on, chips))
    found.append(option)
    return option

  base = attempt(device, {})
  left = lambda: most - len(found)
  if base.fits and base.step.kind != "cpu":  # a host's memory is no reason to change a recipe
    for step in (_cut, _largest, _smallest, _less):
      step(experiment, base, attempt, left)
  elif base.compiled is not None and not base.fits:
    remedies = _remedies(experiment, base)
    while left() > 0 and not found[-1].fits and (remedy := next(remedies, None)) is not None:
      attempt(*remedy)
  return found


def pareto(found: list[Option]) -> list[Option]:
  """Those that fit and that no other beats in both hours and money (or chip hours), the fastest first."""
  best, kept = math.inf, []
  for option in sorted((o for o in found if o.fits), key=lambda o: o.price):
    if option.price[1] < best:
      best = option.price[1]
      kept.append(option)
  return kept


def command(name: str, option: Option, member: str | None) -> str:
  """What trains that way."""
  words = [f"--{path}={value}" for path, value in option.changes.items()]
  return " ".join(["python launch.py", f"--experiment={name}", *([f"--member={member}"] if member else []), *words])


def _cost(compiled: Compiled, before: list[Option], device: Device, chips: dict[str, Chip]) -> Cost | None:
  """With another batch size: of as many steps as make the same number of examples."""
  if not compiled.fits:
    return None
  base = next((o.compiled for o in before if o.compiled is not None), compiled)
  steps = math.ceil(base.total_steps * base.batch_size / compiled.batch_size)
  chip = chips[device.chip] if device.chip else chips["cpu"]
  return cost(dataclasses.replace(compiled, total_steps=steps), chip, device.num_chips)


def _cut(experiment, base: Option, attempt, left) -> None:
  """Parameters and moments cut over the devices, where each has them whole."""
  sharding, num = experiment.training.sharding, base.step.devices
  if left() > 0 and num > 1 and sharding.fsdp == sharding.tensor == 1:
    attempt(base.device, {"training.sharding.fsdp": num, "training.sharding.data": 1})


def _largest(experiment, base: Option, attempt, left) -> None:
  """The largest batch: from what half of it takes, then compiled."""
  size = experiment.data.batch_size
  unit = base.step.devices * experiment.training.num_microbatches
  half = size // 2 // unit * unit
  if left() < 2 or not half or not math.isfinite(base.step.capacity):
    return
  smaller = attempt(base.device, {"data.batch_size": half})
  if not smaller.fits:
    return
  slope = (base.step.peak - smaller.step.peak) / (size - half)
  if slope <= 0:
    return
  room = base.step.capacity * _MARGIN - base.step.peak
  more = size + int(room / slope) // unit * unit
  while more > size and left() > 0:
    rounded = max(unit, 2 ** int(math.log2(more)) // unit * unit) if more > 2 * size else more
    if rounded <= size or attempt(base.device, {"data.batch_size": rounded}).fits:
      return
    more = int(0.85 * rounded) // unit * unit


def _smallest(experiment, base: Option, attempt, left) -> None:
  """The smallest slice, guessed: what does not shrink with the batch is on each device, the rest is shared by fewer."""
  held = base.step.holds
  moving = held.get("activations, gradients, temporaries", 0.0) + held.get("batch", 0.0)
  for device in base.device.smaller():
    grown = base.device.num_devices / device.num_devices
    cut = grown if experiment.training.sharding.fsdp > 1 else 1.0
    guess = (base.step.peak - moving) * cut + moving * grown
    if left() <= 0:
      return
    if guess < base.step.capacity * _MARGIN and attempt(device, _fewer(experiment, device)).fits:
      return


def _less(experiment, base: Option, attempt, left) -> None:
  """The next policy that keeps more for the backward pass, and computes less again."""
  for leaf in config.leaves(experiment.model, "model."):
    if leaf.path.endswith(".remat") and leaf.value in _REMAT[1:] and left() > 0:
      attempt(base.device, {leaf.path: _REMAT[_REMAT.index(leaf.value) - 1]})


def _fewer(experiment, device: Device) -> dict[str, Any]:
  """The same sharding over other numbers of devices."""
  sharding = experiment.training.sharding
  if sharding.data != -1 or sharding.fsdp > 1:
    fsdp = device.num_devices // sharding.tensor if sharding.fsdp > 1 else 1
    return {"training.sharding.data": -1 if sharding.fsdp == 1 else 1, "training.sharding.fsdp": max(1, fsdp)}
  return {}


def _remedies(experiment, base: Option) -> Iterator[tuple[Device, dict[str, Any]]]:
  """What saves memory, the cheapest in time first; each with those before it."""
  sharding, num, changes = experiment.training.sharding, base.step.devices, {}
  if num > 1 and sharding.fsdp == sharding.tensor == 1:
    changes = {"training.sharding.fsdp": num, "training.sharding.data": 1}
    yield base.device, changes
  for leaf in config.leaves(experiment.model, "model."):
    if leaf.path.endswith(".remat"):
      policies = [p for p in _REMAT if p in typing.get_args(leaf.hint)]
      for policy in policies[policies.index(leaf.value) + 1:]:
        changes = {**changes, leaf.path: policy}
        yield base.device, changes
  pieces = num if sharding.tensor == 1 else num // sharding.tensor
  for times in (2, 4, 8, 16):
    micro = experiment.training.num_microbatches * times
    if experiment.data.batch_size % (pieces * micro) == 0:
      changes = {**changes, "training.num_microbatches": micro}
      yield base.device, changes
  for device in base.device.larger():
    if experiment.data.batch_size % device.num_devices == 0:
      yield device, {**{k: v for k, v in changes.items() if ".remat" in k}, "training.sharding.fsdp": device.num_devices,
                     "training.sharding.data": 1}
