"""Runs an experiment in one of its modes: seeds, findings, verdict, record, report.

Every kind of experiment is run the same way: `measure(seed, run)` gives the findings of a seed, they are judged against the
targets, and the record and the report are written from what was judged.
"""

import errno
import importlib
import math
import sys
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags
from etils import epath

from research import command_line, config, paper, records, workdir
from research.config import ConfigError, UserError
from research.experiment import Comparison
from research.learning_curve import data_curve
from research.modes import plan
from research.modes.base import Context, chosen
from research.report.page import write_report
from research.studies.base import Findings, total_seconds
from research.training import distributed, summaries
from research.training.interruption import Interrupted, Interruption
from research.training.progress import duration, say
from research.workdir import Run, measured, spent


def run(name: str, summary: str, experiment: Any, default: Any, options: flags.FlagValues, settings: Any = None) -> int:
  """Runs the mode in `options.mode`, with its settings. Returns the process's exit code."""
  if options.mode == "record":  # of a run that is over: it needs neither data nor devices
    return record(name, options.workdir)
  data_dir = epath.Path(options.data_dir).expanduser() if options.data_dir else None
  if data_dir is not None and not data_dir.is_dir():
    raise ConfigError(f"--data_dir={options.data_dir}: there is no such folder")
  seeds = _seeds(options.seeds, experiment.seeds)
  distributed.initialize(options.coordinator, options.num_processes, options.process_id)
  if options.mode not in ("plan", "predict", "serve"):  # those need neither the data nor the network, but what was exported
    experiment.check(data_dir)
  try:
    match options.mode:
      case "train":
        return train(name, summary, experiment, default, seeds, data_dir, options.workdir)
      case "evaluate":
        return evaluate(name, summary, experiment, default, seeds, data_dir, options.workdir)
      case "check_gradients":
        return check_gradients(experiment, seeds[0], data_dir)
      case "learning_curve":
        curve = data_curve(chosen(experiment, options.member), settings, experiment, data_dir, seeds)
        curve.check(data_dir)
        return train(f"{name}/learning_curve", summary, curve, curve, seeds, data_dir, options.workdir)
      case mode:
        with Interruption(message="the same command goes on where it was") as interruption:
          return importlib.import_module(f"research.modes.{mode}").run(Context(
              name=name, summary=summary, experiment=experiment, default=default, seeds=seeds, data_dir=data_dir,
              workdir=options.workdir, member=options.member, interruption=interruption), settings)
  except Interrupted as end:
    say(str(end))
    return end.exit_code
  except OSError as error:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
      raise
    raise UserError(f"{error.strerror}{f': {error.filename}' if error.filename else ''}; the same command goes on from what "
                    "was saved") from error


def _seeds(given: list[str] | None, named: tuple[int, ...]) -> tuple[int, ...]:
  if given is None:
    return named
  try:
    seeds = tuple(int(s) for s in given)
  except ValueError:
    raise ConfigError(f"--seeds={','.join(given)}: expected whole numbers, as 0,1,2") from None
  if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
    raise ConfigError(f"--seeds={','.join(given)}: expected different numbers of at least 0")
  return seeds


def train(name, summary, experiment, default, seeds, data_dir, folder_flag) -> int:
  """Measures every seed, judges, writes record and report. The same command again goes on where it was."""
  folder = workdir.for_training(name, experiment, folder_flag)
  environment = records.environment()
  distributed.from_first(lambda: workdir.write_json(folder / "environment.json", environment))
  say(f"{name} in {folder}")
  say(config.summary(experiment))
  with Interruption(message=f"the same command goes on where it was ({folder})") as interruption:
    whole = Run(folder, data_dir, interruption)
    findings = {seed: measured(experiment, seed, _of_seed(whole, seed, seeds)) for seed in seeds}
  return conclude(name, summary, experiment, default, findings, whole, environment)


def _of_seed(whole: Run, seed: int, seeds: tuple[int, ...]) -> Run:
  """A seed alone has the whole folder."""
  return whole.child(f"seed{seed}") if len(seeds) > 1 else whole


def conclude(name, summary, experiment, default, findings: dict[int, Findings], run: Run, environment: dict) -> int:
  """Judges findings, writes record.json and report.html, prints the verdict; all on process 0."""
  if jax.process_index() != 0:
    return 0
  seeds = tuple(findings)
  deviations = config.differences(default, experiment)
  if set(default.seeds) - set(seeds):
    deviations.append(f"seeds: {default.seeds} → {seeds}")
  together = experiment.conclude(findings) if len(findings) == len(default.seeds) else Findings(metrics={})
  outcomes = [_judge(t, findings, together, "; ".join(deviations)) for t in experiment.targets]
  total = sum(spent(_of_seed(run, seed, seeds), found) for seed, found in findings.items())
  seconds = {"total": total, **total_seconds(findings.values())}
  result = records.make(
      name, summary, experiment, outcomes, seeds=seeds, seconds=seconds,
      stopped=next((f.stopped for f in findings.values() if f.stopped), ""), deviations=deviations,
      notes=dict.fromkeys(n for f in [*findings.values(), together] for n in f.notes), versions=environment)
  files = [f for level in range(3) for f in sorted(run.folder.glob("runs/*/" * level + "metrics.jsonl"))]
  curves = {str(f.parent.relative_to(run.folder)): summaries.read_rows(f) for f in files}  # seeds, and their members
  shown = {**{f"seed {s}": f for s, f in findings.items()}, "all seeds": together}
  if took := findings[seeds[0]].compute:
    result["plan"], figures = plan.beside(run.folder, took)
    shown["plan"] = Findings(metrics={}, figures=figures)
  write_report(run.folder / "report.html", result, shown, curves, config.to_json(experiment), environment)
  workdir.write_json(run.folder / "record.json", result)
  _print(result, together.notes)
  say(f"report: {run.folder / 'report.html'}")
  return 0


def _judge(target, findings: dict[int, Findings], together: Findings, deviation: str) -> paper.Outcome:
  """A target against what every seed measured, or all of them together."""
  holders = [together] if target.metric in together.metrics else [f for f in findings.values() if target.metric in f.metrics]
  if not holders:
    return paper.judge(target, ())
  return paper.judge(target, [f.metrics[target.metric] for f in holders],
                     signature=holders[0].signatures.get(target.metric, ""),
                     interval=holders[0].intervals.get(target.metric) if len(holders) == 1 else None, deviation=deviation)


def _print(result: dict, notes: Sequence[str]) -> None:
  """The outcome as lines on standard output: a target a line, what follows from all seeds, the headline last."""
  for row in result["targets"]:
    value = "not measured" if row["value"] is None else f"{row['value']:.5g}"
    interval = f" [{row['interval'][0]:.4g}, {row['interval'][1]:.4g}]" if row["interval"] else ""
    published = f", published {row['published']:g}" if row["published"] is not None else ""
    print(f"{row['verdict']:15} {row['metric']} = {value}{interval}  ({'control, must fail ' if row['control'] else ''}"
          f"{row['criterion']}{published})" + (f": {row['reason']}" if row["reason"] else ""))
  for note in notes:
    print(note)
  if result["stopped"]:
    print(f"stopped early: {result['stopped']}")
  print(f"{result['experiment']}: {result['verdict']} in {duration(result['seconds']['total'])}")


def evaluate(name, summary, experiment, default, seeds, data_dir, folder_flag) -> int:
  """Evaluates the newest finished run again from its checkpoints, and judges it anew."""
  folder = workdir.for_reading(name, folder_flag)
  with Interruption(message="nothing was changed") as interruption:
    whole = Run(folder, data_dir, interruption)
    findings = {seed: experiment.evaluate(seed, _of_seed(whole, seed, seeds)) for seed in seeds}
  return conclude(name, summary, experiment, default, findings, whole, records.environment())


def check_gradients(experiment, seed: int, data_dir) -> int:
  """Compares the gradient of each member's loss with central differences. Returns 1 if they differ."""
  from research.training import gradient_check  # here: it needs float64, which only this mode has

  members = experiment.members if isinstance(experiment, Comparison) else {"": experiment}
  objectives = {name: member.objective(seed, data_dir) for name, member in members.items()}
  objectives = {name: objective for name, objective in objectives.items() if objective is not None}
  if not objectives:
    raise ConfigError("this experiment minimises no differentiable loss; there is no gradient to check")
  wrong, checked = [], 0
  for name, objective in objectives.items():
    for row in gradient_check.check(*objective, seed=seed):
      path = f"{name}/{row.path}" if name else row.path
      print(f"{'ok   ' if row.agrees else 'WRONG'} {path:40} automatic {row.automatic: .9e}  "
            f"central {row.central: .9e}  relative error {row.error:.1e}")
      checked += 1
      wrong += [] if row.agrees else [path]
  print(f"the gradient is wrong in {', '.join(wrong)}" if wrong else f"the gradient agrees in all {checked} parameters")
  return 1 if wrong else 0


def record(name, folder_flag) -> int:
  """Copies the newest finished run's record into the repository and makes the README's table anew."""
  result = workdir.read_json(workdir.for_reading(name, folder_flag) / "record.json")
  if math.isnan(result["seconds"]["total"]) or result["git"].endswith("+"):
    say("note: the code of this run was not committed (its git hash ends in +)")
  kept = result["experiment"]  # a learning curve's is NAME/learning_curve
  if result["deviations"]:
    say(f"note: this run deviates from the recipe ({'; '.join(result['deviations'])}); it is kept as no record of it, beside")
    kept = f"{kept}/deviating"
  path = epath.Path(records.FOLDER) / f"{kept}.json"
  path.parent.mkdir(exist_ok=True)
  workdir.write_json(path, result)
  readme = epath.Path(records.FOLDER).parent.parent / "README.md"
  workdir.write_text(readme, records.with_table(
      readme.read_text(), records.read_all(), command_line.load_all(), records.read_deviating()))
  print(f"experiments/records/{kept}.json", file=sys.stdout)
  return 0
