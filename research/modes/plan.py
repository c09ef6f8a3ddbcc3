"""The mode plan: how much compute an experiment takes, on devices that need not be there, and what to do about it."""

import dataclasses
import datetime
import pathlib
import sys
from typing import Any

from research import config, workdir
from research.config import ConfigError
from research.figures import Table
from research.modes.base import Context
from research.modes.plan_process import Compiler
from research.modes.plan_worker import recipe
from research.planning import advice, compute, devices, ledger, summary, topologies
from research.planning.advice import Option
from research.planning.devices import Device
from research.planning.roofline import Cost
from research.planning.settings import Plan
from research.training.progress import say

FILE = "plan.json"


def run(context: Context, settings: Plan) -> int:
  """Compiles, prints, and keeps what was found in the folder of the run that the same settings would train in.

  Raises:
    ConfigError: no such device; its compiler is not installed; a study, which has no training step.
  """
  experiment = recipe(context.chosen())
  if not hasattr(experiment, "training"):
    raise ConfigError(f"{context.name} trains no network of the usual form: it has no training step to plan")
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
      _keep(folder, context.member, device, found)
      _print(context, found, chips)
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


def _print(context: Context, found: list[Option], chips: dict[str, devices.Chip]) -> None:
  base, best = found[0], advice.pareto(found)
  print(f"\n{context.name}{f' {context.member}' if context.member else ''} on {base.device.name}")
  for name, said in summary.lines(base, chips[base.device.chip or "cpu"]):
    print(f"  {name:18} {said}")
  if len(found) > 1:
    print("\n  " + "\n  ".join(summary.text_table([summary.row(o, o in best) for o in found])))
  for option in best:
    if option is not base or len(best) > 1 or not base.fits:
      print(f"  {option.device.name}: {advice.command(context.name, option, context.member)}")
  if not best:
    print("  nothing that was tried fits: try a larger slice, or more --plan.compilations")


# --- what is kept ----------------------------------------------------------------------------------------------------


def _keep(folder, member: str | None, device: Device, found: list[Option]) -> None:
  """Adds to the plans in the folder; one for the same device takes the older's place."""
  plans = [plan for plan in read(folder) if (plan["member"], plan["device"]) != (member, device.name)]
  options = [{"device": o.device.name, "changes": o.changes, "problem": o.problem,
              "compiled": None if o.compiled is None else dataclasses.asdict(o.compiled),
              "cost": None if o.cost is None else dataclasses.asdict(o.cost)} for o in found]
  plans.append({"member": member, "device": device.name, "date": datetime.date.today().isoformat(), "options": options})
  workdir.write_json(folder / FILE, plans)


def read(folder) -> list[dict]:
  """The plans that were made in a run's folder."""
  return workdir.read_json(folder / FILE) if (folder / FILE).exists() else []


def beside(folder, took: dict[str, dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[Table, ...]]:
  """The plans of a run's folder beside what the run took (Findings.compute): for its record, and for its report."""
  plans = read(folder)
  entries = ledger.entries(plans, took)
  titled = [(f"{plan['member'] + ' on ' if plan['member'] else ''}{plan['device']}", options(plan)) for plan in plans]
  figures = summary.tables([(title, of, advice.pareto(of)) for title, of in titled], devices.CHIPS)
  return entries, (*figures, ledger.table(entries))


def options(plan: dict) -> list[Option]:
  """A plan's options again."""
  return [Option(device=devices.parse(o["device"]), changes=o["changes"], problem=o["problem"],
                 compiled=None if o["compiled"] is None else compute.read(o["compiled"]),
                 cost=None if o["cost"] is None else Cost(**o["cost"])) for o in plan["options"]]
