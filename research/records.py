"""Records: what a run really gave, from what, on what; and the README's results table, which is made of nothing else."""

import dataclasses
import datetime
import importlib.metadata
import json
import math
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax

from research import process
from research.config import config_hash
from research.paper import Outcome, Verdict, headline

FOLDER = pathlib.Path(__file__).parent.parent / "experiments" / "records"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scipy")
_BEGIN, _END = "<!-- results: made by --mode=record, do not edit -->", "<!-- /results -->"


def environment() -> dict:
  """Versions, devices, processor and git hash of this process."""
  devices = jax.devices()
  return {
      "python": platform.python_version(),
      "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
      "device": f"{len(devices)} x {devices[0].device_kind}" if devices[0].platform != "cpu" else f"{len(devices)} x CPU",
      "processes": jax.process_count(),
      "cpu": _cpu(),
      "cores": process.cores(),
      "git": _git(),
      "x64": bool(jax.config.read("jax_enable_x64")),
  }


def _cpu() -> str:
  try:
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
  except OSError:
    found = None
  return found[1] if found else platform.processor() or platform.machine()


def _git() -> str:
  """The commit of the code, with `+` if files that matter differ from it; "unknown" outside a checkout."""
  def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=FOLDER.parent, capture_output=True, text=True, check=True).stdout.strip()

  try:
    dirty = git("status", "--porcelain", "--untracked-files=no", "--", "../research", "../experiments/*.py", "../launch.py")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if dirty else "")
  except (OSError, subprocess.CalledProcessError):
    return "unknown"


def make(name: str, summary: str, experiment, outcomes: Sequence[Outcome], *, seeds, seconds, stopped, deviations,
         notes, versions: dict) -> dict:
  """One record, as JSON values (see the fields)."""
  return {
      "experiment": name,
      "summary": summary.splitlines()[0],
      "paper": dataclasses.asdict(experiment.paper) if experiment.paper else {},
      "verdict": str(headline(outcomes)),
      "targets": [_row(o) for o in outcomes],
      "seeds": list(seeds),
      "seconds": seconds,
      "stopped": stopped,
      "deviations": list(deviations),
      "notes": list(notes),
      "config_hash": config_hash(experiment),
      "date": datetime.date.today().isoformat(),
      "command": "python " + " ".join(_command()),
      **versions,
  }


def _command() -> list[str]:
  """The command line without what belongs to this machine."""
  words = (re.sub(r"^(--?data_dir)=.*", r"\1=DATA", word) for word in sys.argv[1:])
  return [pathlib.Path(sys.argv[0]).name, *(word for word in words if not re.match("--?workdir", word))]


def _row(outcome: Outcome) -> dict:
  target = outcome.target
  finite = lambda v: v if v is not None and math.isfinite(v) else None
  return {
      "metric": target.metric, "says": target.says, "place": target.place, "published": target.published,
      "criterion": str(target.criterion), "low": finite(target.criterion.low), "high": finite(target.criterion.high),
      "kind": target.kind, "seeds": target.seeds, "signature": target.signature, "control": target.control,
      "verdict": str(outcome.verdict), "value": outcome.value, "interval": list(outcome.interval) if outcome.interval else None,
      "per_seed": list(outcome.per_seed), "reason": outcome.reason,
  }


def read_all(folder: pathlib.Path = FOLDER) -> dict[str, dict]:
  """All committed records by experiment, in alphabetical order."""
  return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def read_deviating(folder: pathlib.Path = FOLDER) -> dict[str, dict]:
  """By experiment, committed records of runs that deviated from it: shorter ones, as a rule."""
  return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/deviating.json"))}


def table(records: dict[str, dict], experiments: dict[str, Any], deviating: dict[str, dict]) -> str:
  """The results as a Markdown table: a row an experiment, its first targets beside what was measured.

  A record whose settings are no longer the experiment's is listed as older; an experiment without a record as not run, or with
  what a run measured that deviated from it.
  """
  records = {**deviating, **records}
  rows = ["| experiment | paper | verdict | what was measured | cost |", "| --- | --- | --- | --- | --- |"]
  for name, experiment in sorted(experiments.items()):
    if name in records:
      record = records[name]
      cells = [_cell(t) for t in record["targets"] if not t["control"] or t["verdict"] == "MISSED"]
      older = "" if record["deviations"] or record["config_hash"] == config_hash(experiment) else " (older settings)"
      seeds = ", ".join(map(str, record["seeds"]))
      paper, verdict = record["paper"], f"**{record['verdict']}**{older}"
      cost = f"{record['seconds']['total']:.0f} s, {record['device']} ({record['cpu']}), seeds {seeds}"
      cost += "".join(f"; {deviation}" for deviation in record["deviations"])
    else:
      cells = [f"{t.metric}: {t.published:g} published" for t in experiment.targets if t.published is not None]
      paper, verdict, cost = dataclasses.asdict(experiment.paper), f"{Verdict.NOT_RUN}", ""
    shown = "<br>".join(cells[:4]) + (f"<br>and {len(cells) - 4} more" if len(cells) > 4 else "")
    first, *others = paper["authors"].split(", ")
    authors = paper["authors"] if len(others) < 3 else f"{first} et al."
    rows.append(f"| `{name}` | [{authors} {paper['year']}]({paper['url']}) | {verdict} | {shown} | {cost} |")
  return "\n".join(rows)


def _cell(row: dict) -> str:
  value = "not run" if row["value"] is None else f"{row['value']:.4g}"
  interval = f" [{row['interval'][0]:.4g}, {row['interval'][1]:.4g}]" if row["interval"] else ""
  published = f", published {row['published']:g}" if row["published"] is not None else ""
  verdict = "" if row["verdict"] == "REPRODUCED" else f", {row['verdict']}"
  return f"{row['metric'].replace('|', '¦')} {value}{interval} (criterion {row['criterion']}{published}{verdict})"


def with_table(readme: str, records: dict[str, dict], experiments: dict[str, Any], deviating: dict[str, dict]) -> str:
  """The README with its results table made anew."""
  before, rest = readme.split(_BEGIN)
  return f"{before}{_BEGIN}\n{table(records, experiments, deviating)}\n{_END}{rest.split(_END)[1]}"
