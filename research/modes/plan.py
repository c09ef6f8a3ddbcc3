"""The mode plan: how much compute an experiment takes, on devices that need not be there, and what to do about it."""

import dataclasses
import datetime
import math
import pathlib
import sys
from typing import Any

from research import config, workdir
from research.config import ConfigError
from research.figures import Table
from research.modes.base import Context
from research.modes.plan_process import Compiler
from research.modes.plan_worker import recipe
from research.planning import advice, compute, devices, ledger, scaling, summary, topologies
from research.planning.advice import Option
from research.planning.devices import Device
from research.planning.roofline import Cost
from research.planning.scaling import Law, Scaling
from research.planning.settings import Plan
from research.training.progress import say

FILE = "plan.json"


def run(context: Context, settings: Plan) -> int:
  """Compiles, prints, and keeps what was found in the folder of the run that the same settings would train in.

  Raises:
    ConfigError: no such device; its compiler is not installed; a study, which has no training step; a file of prices or of a
      law that is not of that form; a budget or a law where no tokens are counted.
  """
  experiment = recipe(context.chosen())
  if not hasattr(experiment, "training"):
    raise ConfigError(f"{context.name} trains no network of the usual form: it has no training step to plan")
  law = scaling.read(settings.law) if settings.law else None
  if (settings.law or settings.budget) and not scaling.speaks_of(experiment):
    raise ConfigError("--plan.budget and --plan.law are of language models that begin untrained: this experiment's task counts "
                      "no tokens, or it goes on from given weights")
  chips, on = devices.with_prices(settings.prices), [devices.parse(name) for name in settings.device]
  for device in on:
    topologies.check(device)
  folder = workdir.for_training(context.name, context.experiment, context.workdir)
  job = {"path": str(_file(context.name)), "member": context.member, "config": config.to_json(experiment),
         "data_dir": None if context.data_dir is None else str(context.data_dir)}
  problems = []
  with Compiler(job, context.interruption) as compiler:
    for device in on:
      say(f"compiling for {device.name}, {settings.compilations} times at most ...")
      found = advice.options(experiment, device, compiler, chips, settings.compilations)
      if found[0].compiled is None:
        problems.append(f"{device.name}: {found[0].problem}")
        continue
      said = _scaling(found[0], law, settings)
      _keep(folder, context.member, device, found, said)
      _print(context, found, chips, said)
  if len(problems) < len(on):
    say(f"kept in {folder / FILE}; training with the same settings goes on there, and its record shows what it really took")
  if problems:
    raise ConfigError("; ".join(problems))
  return 0


def _file(name: str) -> pathlib.Path:
  """Of the experiment's module, which launch.py has imported."""
  module = sys.modules.get(f"experiment_{name}") or sys.modules[f"experiments.{name}"]
  assert module.__file__ is not None
  return pathlib.Path(module.__file__)


def _scaling(base: Option, law: Law | None, settings: Plan) -> Scaling | None:
  """What the law says of the recipe as it is; None where it says nothing."""
  step = base.step
  if not step.tokens:
    return None
  hours = math.nan if base.cost is None else base.cost.hours - base.cost.evaluation_hours
  return scaling.scaling(
      law=law, source=str(settings.law), parameters=step.num_parameters, tokens=step.total_steps * step.tokens,
      token=step.token, passes=step.total_steps * step.batch_size / step.num_examples, hours=hours, budgets=settings.budget,
      counted=step.total_steps * step.flops * step.mean_share)


def _print(context: Context, found: list[Option], chips: dict[str, devices.Chip], scaled: Scaling | None) -> None:
  base, best = found[0], advice.pareto(found)
  print(f"\n{context.name}{f' {context.member}' if context.member else ''} on {base.device.name}")
  words = summary.lines(base, chips[base.device.chip or "cpu"])
  for name, said in words if scaled is None else [*words, *summary.scaling_lines(scaled)]:
    print(f"  {name:18} {said}")
  if scaled is not None:
    _print_table([summary.BUDGETS, *summary.budgets(scaled)])
  if len(found) > 1:
    _print_table([summary.HEAD, *(summary.row(o, o in best) for o in found)])
  for option in best:
    if option is not base or len(best) > 1 or not base.fits:
      print(f"  {option.device.name}: {advice.command(context.name, option, context.member)}")
  if not best:
    print("  nothing that was tried fits: try a larger slice, or more --plan.compilations")


def _print_table(rows: list[tuple[str, ...]]) -> None:
  print("\n  " + "\n  ".join(summary.text_table(rows)))


# --- what is kept ----------------------------------------------------------------------------------------------------


def _keep(folder, member: str | None, device: Device, found: list[Option], scaled: Scaling | None) -> None:
  """Adds to the plans in the folder; one for the same device takes the older's place."""
  plans = [plan for plan in read(folder) if (plan["member"], plan["device"]) != (member, device.name)]
  options = [{"device": o.device.name, "changes": o.changes, "problem": o.problem,
              "compiled": None if o.compiled is None else dataclasses.asdict(o.compiled),
              "cost": None if o.cost is None else dataclasses.asdict(o.cost)} for o in found]
  plans.append({"member": member, "device": device.name, "date": datetime.date.today().isoformat(), "options": options,
                "scaling": None if scaled is None else dataclasses.asdict(scaled)})
  workdir.write_json(folder / FILE, plans)


def read(folder) -> list[dict]:
  """The plans that were made in a run's folder."""
  return workdir.read_json(folder / FILE) if (folder / FILE).exists() else []


def beside(folder, took: dict[str, dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[Table, ...]]:
  """The plans of a run's folder beside what the run took (Findings.compute): for its record, and for its report."""
  plans = read(folder)
  entries = ledger.entries(plans, took)
  titled = [(f"{plan['member'] + ' on ' if plan['member'] else ''}{plan['device']}", options(plan), plan.get("scaling"))
            for plan in plans]
  figures = summary.tables([(title, of, advice.pareto(of), None if said is None else scaling.restored(said))
                            for title, of, said in titled], devices.CHIPS)
  return entries, (*figures, ledger.table(entries))


def options(plan: dict) -> list[Option]:
  """A plan's options again."""
  return [Option(device=devices.parse(o["device"]), changes=o["changes"], problem=o["problem"],
                 compiled=None if o["compiled"] is None else compute.read(o["compiled"]),
                 cost=None if o["cost"] is None else Cost(**o["cost"])) for o in plan["options"]]
