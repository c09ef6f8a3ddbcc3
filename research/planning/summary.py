"""A plan in words: lines for the terminal, tables for the report."""

import math

from research.figures import Table
from research.planning.advice import Option
from research.planning.devices import CHIPS, Chip
from research.planning.scaling import Scaling, Spent

_GIB = 2**30


def lines(option: Option, chip: Chip) -> list[tuple[str, str]]:
  """(name, what is said of it) of one way to train.

  Args:
    option: compiled, whether it fits or not.
    chip: with prices.
  """
  step, cost = option.compiled, option.cost
  assert step is not None
  axes = ", ".join(f"{axis} {size}" for axis, size in step.mesh.items() if size > 1)
  said = [("devices", f"{step.devices} x {step.kind}" + (f", cut by {axes}" if axes else "")),
          ("parameters", f"{step.num_parameters:,}"),
          ("a step", f"{step.batch_size:,} examples, {quantity(step.flops, 'FLOP')} in products, {step.precision}"),
          ("memory", memory(option))]
  if step.declared:
    said.append(("data", f"not here: their published number and form stand for them ({step.declared.split(';')[0]})"))
  if cost is not None:
    moved = f"{quantity(step.products + step.others, 'B')} to and from each device's memory"
    kinds = ", ".join(f"{c['count']:,.0f} {kind} of {quantity(c['bytes'], 'B')}" for kind, c in step.collectives.items())
    of = ", ".join(f"{name} {100 * part / cost.seconds:.0f} %" for name, part in cost.parts.items() if part)
    used = f"; {cost.utilization:.0%} of the peak" if cost.utilization else ""
    rate = step.batch_size * step.mean_share / cost.seconds
    reads = f"; a core of this one {1 / step.input_seconds:,.4g} batches/s" if step.input_seconds > 0 else ""
    said += [("moves", moved), ("collectives", kinds or "none"),
             ("step time", f"{cost.seconds:.4g} s: {of}{used} ({cost.by})"),
             ("the host delivers", f"{rate:,.0f} examples/s, {quantity(step.batch_bytes / cost.seconds, 'B')}/s: "
                                   f"{1 / cost.seconds:,.4g} batches/s{reads}"),
             ("the run", f"{step.total_steps:,} steps, {hours(cost.hours)} (evaluations {hours(cost.evaluation_hours)})"),
             ("it costs", _price(option, chip))]
  data = "unknown" if math.isnan(step.data_bytes) else quantity(step.data_bytes, "B") if step.data_bytes else "generated"
  said.append(("storage", f"data {data}, {step.num_checkpoints} checkpoints of {quantity(step.state_bytes, 'B')}"))
  return said + [("not counted", note) for note in step.notes]


def memory(option: Option) -> str:
  """Whether it fits, of how much, and what fills it."""
  step = option.compiled
  assert step is not None
  whole, unit = (_GIB, "GiB") if not step.peak < 0.1 * _GIB else (2**20, "MiB")
  shown = lambda size: f"{size / whole:,.4g}"
  of = f"{shown(step.peak)} of {shown(step.capacity)} {unit}"
  if math.isinf(step.peak):
    of = "more than there is"
  parts = ", ".join(f"{name} {shown(size)}" for name, size in step.holds.items())
  return ("" if step.fits else "DOES NOT FIT: ") + f"{of} on each device: {parts}"


def _price(option: Option, chip: Chip) -> str:
  cost, num = option.cost, option.device.num_chips
  assert cost is not None
  if not option.device.chip or chip.platform == "cpu":
    return "nobody says: no price or power of this host is known"
  guess = lambda name: " (an estimate, nobody publishes it)" if name in chip.estimated else ""
  money = "no list price is known (--plan.prices)" if cost.dollars is None else f"{cost.dollars:,.2f} dollars{guess('dollars')}"
  energy = "power not published" if cost.kilowatt_hours is None else f"{cost.kilowatt_hours:,.4g} kWh{guess('watts')}"
  return f"{cost.hours * num:,.4g} chip-hours, {money}, {energy} of the chips alone ({chip.source})"


HEAD = ("device", "changes", "fits", "GiB a device", "step", "hours", "dollars", "")


def row(option: Option, best: bool) -> tuple[str, ...]:
  """A line of the table of options."""
  changes = ", ".join(f"{path}={value}" for path, value in option.changes.items()) or "as it is"
  step, cost = option.compiled, option.cost
  if step is None:
    return (option.device.name, changes, "?", "", "", "", "", option.problem)
  gib = "too much" if math.isinf(step.peak) else f"{step.peak / _GIB:.3g}"
  if cost is None:
    return (option.device.name, changes, "no", gib, "", "", "", "")
  remark = "best" if best else ""
  remark += "" if option.same_result else ("; " if remark else "") + "another batch, another result"
  return (option.device.name, changes, "yes", gib, f"{cost.seconds:.3g} s", f"{cost.hours:.3g}",
          "" if cost.dollars is None else f"{cost.dollars:,.2f}", remark)


BUDGETS = ("compute", "parameters", "tokens", "tokens a parameter", "loss", "time")


def scaling_lines(found: Scaling) -> list[tuple[str, str]]:
  """What a law says of a run, in words."""
  planned, best = found.planned, found.best
  law = ", ".join(f"{name} {value:g}" for name, value in found.law.items())
  return [
      ("law of loss", f"E + A/N^alpha + B/D^beta nats a token: {law} ({found.source})"),
      ("its compute", f"6ND = {planned.compute:.3g} FLOP; {found.counted:.3g} FLOP in the steps' products"),
      ("as planned", _spent(planned)),
      ("compute-optimal", _spent(best)),
      ("the plan is off", f"by {planned.loss - best.loss:.3g} nats, with {planned.parameters / best.parameters:.3g} times the "
                          f"best size; at the best size {found.enough:.1%} of the compute would reach its loss"),
      *(("but", note) for note in found.notes)]


def _spent(its: Spent) -> str:
  return (f"{its.parameters:.3g} parameters, {its.tokens:.3g} tokens ({its.tokens / its.parameters:.3g} a parameter): a loss "
          f"of {its.loss:.4g}")


def budgets(found: Scaling) -> list[tuple[str, ...]]:
  """The best ways to spend some budgets, rows under BUDGETS."""
  return [(f"{b.compute:.3g} FLOP", f"{b.parameters:.3g}", f"{b.tokens:.3g}", f"{b.tokens / b.parameters:.3g}", f"{b.loss:.4g}",
           "" if math.isnan(b.hours) else hours(b.hours)) for b in found.budgets]


def text_table(rows: list[tuple[str, ...]]) -> list[str]:
  """Rows in columns; the first is their heads."""
  widths = [max(map(len, column)) for column in zip(*rows)]
  return ["  ".join(cell.ljust(width) for cell, width in zip(r, widths)).rstrip() for r in rows]


def tables(plans: list[tuple[str, list[Option], list[Option], Scaling | None]], chips: dict[str, Chip]) -> tuple[Table, ...]:
  """For the report: (title, options, the best of them, what a law says) of each device."""
  found = []
  for title, options, best, scaling in plans:
    chip = lambda o: chips[o.device.chip] if o.device.chip else CHIPS["cpu"]
    if options[0].compiled is not None:
      found.append(Table(f"How much compute: {title}", ("", ""), tuple(lines(options[0], chip(options[0])))))
    if len(options) > 1:
      found.append(Table(f"What else would do: {title}", HEAD, tuple(row(o, o in best) for o in options),
                         "Each was compiled. Best: no other is both faster and cheaper, for as many examples."))
    if scaling is not None:
      found.append(Table(f"How large a model, and how much text: {title}", ("", ""), tuple(scaling_lines(scaling))))
      found.append(Table(f"The best size for a budget: {title}", BUDGETS, tuple(budgets(scaling)),
                         "Parameters and tokens of least loss by the law; the time is at the rate of the planned run, whatever "
                         "the size."))
  return tuple(found)


def quantity(value: float, unit: str) -> str:
  """1.2 GB."""
  for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
    if value >= 10**power:
      return f"{value / 10**power:.3g} {prefix}{unit}"
  return f"{value:.3g} {unit}"


def hours(value: float) -> str:
  """Hours, or what is easier to read."""
  if value >= 2 * 8766:
    return f"{value / 8766:,.3g} years"
  if value >= 72:
    return f"{value / 24:,.1f} days"
  return f"{value:.3g} hours" if value >= 1 else f"{60 * value:.3g} minutes" if value >= 1 / 60 else f"{3600 * value:.3g} s"
