"""How much data an experiment needs: its recipe trained on nested parts of the training set, and what the errors say."""

import dataclasses
import json
from typing import Any

import numpy as np

from research import records
from research.config import ConfigError, Duration, leaves, outside, override
from research.data.nested import Nested
from research.experiment import Experiment, Selection
from research.figures import Figure, Mark, Series, Table
from research.metrics.base import Metric, RecordMetric
from research.paper import Paper, Target, at_least
from research.planning import learning_curves
from research.planning.learning_curves import Reading
from research.planning.settings import LearningCurve
from research.studies.base import Findings, total_seconds
from research.workdir import Run, measured

_HOLDS = Target(metric="back-test", criterion=at_least(1), seeds="all",
                says="the error with all examples lies in the interval that was predicted from a quarter of them (1: it does)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCurve:
  """A recipe's error over the number of its training examples, and beside it another's.

  Attributes:
    recipe: what is trained.
    beside: another recipe for the same task; None for none.
    sizes: numbers of examples, rising.
    settings: the mode's.
    paper, targets, seeds: as of an experiment.
  """

  recipe: Experiment | Selection
  beside: Experiment | Selection | None
  sizes: tuple[int, ...]
  settings: LearningCurve
  paper: Paper | None = outside(None)
  targets: tuple[Target, ...] = outside((_HOLDS,))
  seeds: tuple[int, ...] = outside((0, 1, 2))

  @property
  def metric(self) -> str:
    return self.settings.metric or _usual_metric(self.recipe)

  def check(self, data_dir) -> None:
    for recipe in filter(None, (self.recipe, self.beside)):
      _part(_kept(recipe, self.settings.keep, data_dir), self.sizes[0], 0).check(data_dir)

  def measure(self, seed: int, run: Run) -> Findings:
    """Trains on each number of examples; what was finished before is not run again."""
    found, seconds = {}, []
    for prefix, recipe in (("", self.recipe), ("beside/", self.beside)):
      kept = None if recipe is None else _kept(recipe, self.settings.keep, run.data_dir)
      for size in () if kept is None else self.sizes:
        its = measured(_part(kept, size, seed), seed, run.child(f"{prefix.replace('/', '_')}{size}"))
        found[f"{prefix}{size}"] = its.metrics[self.metric]
        seconds.append(its)
    split = self.metric.rpartition("/")[0]
    examples = len(_first(self.recipe).data.evaluation[split].open(None if run.data_dir is None else str(run.data_dir)))
    return Findings(metrics={**found, "evaluated": examples}, seconds=total_seconds(seconds))

  def evaluate(self, seed: int, run: Run) -> Findings:
    return self.measure(seed, run)

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    """Reads the curve."""
    top, errors_SR = self._errors(findings, "")
    reading, level = learning_curves.read(self.sizes, errors_SR, level=self.settings.level), self.settings.level
    fitted, sure = reading.fitted, f"{level:.0%} interval"
    notes = [f"{_capital(fitted.form.name)} is chosen (distance of log errors at the largest size, not shown to the fit: "
             + ", ".join(f"{name} {distance:.3f}" for name, distance in reading.held_out.items()) + ")."]
    metrics, intervals = {}, {}
    if reading.is_power_law:
      metrics |= {"exponent": fitted.exponent.value, "floor": fitted.floor.value}
      intervals |= {"exponent": (fitted.exponent.low, fitted.exponent.high), "floor": (fitted.floor.low, fitted.floor.high)}
    else:
      notes.append("The curve is not a power law" + (
          f": its means lie further from one than their noise (probability {fitted.misfit:.1g})." if "power" in fitted.form.name
          else "."))
    if reading.to_size:
      metrics["back-test"] = float(reading.back_test_holds)
      notes.append(f"Back-test: from up to {reading.from_size:,} examples an error of {reading.predicted} was predicted for "
                   f"{reading.to_size:,}; measured {reading.measured:.4g}, {'in' if reading.back_test_holds else 'out'}side "
                   f"the {sure}. {_coverage()}".strip())
    wanted = [abs(top - value) for value in self.settings.reach] or [float(np.exp(np.log(errors_SR[-1]).mean())) / 2]
    notes += [_capital(learning_curves.more_data(reading, error)) + f" ({sure})." for error in wanted]
    series = self._series("", "measured", errors_SR, reading)
    if self.beside is not None:
      _, others_SR = self._errors(findings, "beside/")
      other = learning_curves.read(self.sizes, others_SR, level=level)
      ratio = learning_curves.worth(np.exp(np.log(errors_SR).mean(1)), other.fitted, self.sizes)
      metrics["worth in data"] = ratio
      notes.append(f"{self.settings.beside} needs {ratio:,.1f} times the examples for the same errors." if np.isfinite(ratio)
                   else f"{self.settings.beside} reaches none of these errors, whatever the number of examples.")
      series += self._series("beside ", f"{self.settings.beside}, measured", others_SR, other)
    label = self.metric if not top else f"{top:g} - {self.metric}"
    return Findings(metrics=metrics, intervals=intervals, notes=tuple(notes), figures=(
        Figure("Error over examples", "training examples", label, series, "Each point is one seed; dashed, the fitted form.",
               x_scale="log", y_scale="log", marks=(Mark("x", self.sizes[-1], "all examples"),)),
        Table("What more data would bring", ("examples", "error", "from", "to"), tuple(
            (f"{size:,}", *(f"{v:.4g}" for v in dataclasses.astuple(fitted.at(size))))
            for size in (self.sizes[-1] * factor for factor in (1, 2, 4, 8, 16))), f"The fitted form, {sure} of the mean.")))

  def _errors(self, findings: dict[int, Findings], prefix: str) -> tuple[float, np.ndarray]:
    """What a perfect value would be (0 where lower is better), and the distances from it (S, R); none is quite 0."""
    values_SR = np.array([[found.metrics[f"{prefix}{size}"] for found in findings.values()] for size in self.sizes])
    if _metrics(self.recipe)[self.metric].better == "lower":
      return 0.0, values_SR
    top = 1.0 if values_SR.max() <= 1 else 100.0
    half_an_example = 0.5 * top / next(iter(findings.values())).metrics["evaluated"]
    return top, np.maximum(top - values_SR, half_an_example)

  def _series(self, prefix: str, label: str, errors_SR: np.ndarray, reading: Reading) -> tuple[Series, ...]:
    num_seeds = errors_SR.shape[1]
    along = np.geomspace(self.sizes[0], self.sizes[-1] * 16, 60)
    return (Series(label, np.repeat(self.sizes, num_seeds), errors_SR.ravel(), kind="points"),
            Series(f"{prefix}{reading.fitted.form.name}", along, [reading.fitted.at(n).value for n in along], kind="theory"))


def data_curve(experiment: Any, settings: LearningCurve, comparison: Any, data_dir, seeds: tuple[int, ...]) -> DataCurve:
  """The learning curve of an experiment.

  Args:
    experiment: the recipe.
    settings: the mode's.
    comparison: where `settings.beside` is a member.
    data_dir: where data lie, or None.
    seeds: two at least.

  Raises:
    ConfigError: it trains nothing, there is no such metric or member, there are too few seeds or examples.
  """
  if not isinstance(experiment, (Experiment, Selection)):
    raise ConfigError("there is no learning curve of this experiment: it has no training set")
  if len(seeds) < 2:
    raise ConfigError(f"--seeds={','.join(map(str, seeds))}: a learning curve needs two seeds at least, for its noise")
  beside = None
  if settings.beside is not None:
    members = getattr(comparison, "members", {})
    if settings.beside not in members:
      raise ConfigError(f"--learning_curve.beside={settings.beside}: there is no such member; there are "
                        f"{', '.join(members) or 'none'}")
    beside = members[settings.beside]
  first = _first(experiment)
  known = _metrics(first)
  if settings.metric is not None and settings.metric not in known:
    raise ConfigError(f"--learning_curve.metric={settings.metric}: there is no such metric; there are {', '.join(known)}")
  opened = first.data.open(data_dir)
  assert opened.train is not None
  total = len(opened.train)
  recipes = [_first(r) for r in (experiment, beside) if r is not None]
  least = max(r.data.batch_size if r.data.buckets is None else 1 for r in recipes)
  sizes = [round(total / settings.ratio ** k) for k in reversed(range(settings.num_sizes))]
  sizes = tuple(size for size in sizes if size >= least)
  if len(sizes) < 3:
    raise ConfigError(f"{total:,} training examples give {len(sizes)} sizes of at least a batch of {least} examples; three are "
                      "needed: take a smaller --data.batch_size, or --learning_curve.ratio")
  return DataCurve(recipe=experiment, beside=beside, sizes=sizes, settings=settings, paper=experiment.paper, seeds=seeds)


def _first(recipe: Experiment | Selection) -> Experiment:
  return recipe if isinstance(recipe, Experiment) else next(iter(recipe.members.values()))


def _metrics(recipe: Experiment | Selection) -> dict[str, Metric | RecordMetric]:
  """All that an evaluation of the recipe measures, of what it writes too, by split/name."""
  task = (first := _first(recipe)).task
  writing = getattr(task, "writing", None)
  found = {**task.metrics, **task.record_metrics}
  for against in () if writing is None else writing.against:
    found |= against.metric.metrics
  return {f"{split}/{name}": metric for split in first.data.evaluation for name, metric in found.items()}


def _usual_metric(recipe: Experiment | Selection) -> str:
  first = _first(recipe)
  split = next(iter(first.data.evaluation))
  return f"{split}/{'accuracy' if 'accuracy' in first.task.metrics else 'loss'}"


def _kept(recipe: Any, keep: str, data_dir) -> Any:
  """The recipe with what stays the same written out: durations in epochs as steps of the whole training set."""
  if isinstance(recipe, Selection):
    return dataclasses.replace(recipe, members={n: _kept(member, keep, data_dir) for n, member in recipe.members.items()})
  epochs = {leaf.path: leaf.value for leaf in leaves(recipe) if isinstance(leaf.value, Duration) and leaf.value.unit == "ep"}
  if keep == "epochs" or not epochs:
    return recipe
  per_epoch = recipe.data.batches_per_epoch(recipe.data.open(data_dir))
  steps = lambda duration: duration.steps(batch_size=recipe.data.batch_size, steps_per_epoch=per_epoch)
  return override(recipe, {path: Duration(steps(duration)) for path, duration in epochs.items()})


def _part(recipe: Any, size: int, seed: int) -> Any:
  """The recipe with `size` examples, drawn by `seed`."""
  if isinstance(recipe, Selection):
    return dataclasses.replace(recipe, members={n: _part(member, size, seed) for n, member in recipe.members.items()})
  if recipe.training.best_metric is None:
    recipe = override(recipe, {"training.evaluate_every": Duration(0)})  # at the end is enough
  train = Nested(source=recipe.data.train, size=size, seed=seed)
  return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, train=train))


def _capital(text: str) -> str:
  return text[:1].upper() + text[1:]


def _coverage() -> str:
  """How often such predictions came true in the curves whose records are kept."""
  kept = [json.loads(path.read_text()) for path in sorted(records.FOLDER.glob("*/learning_curve.json"))]
  outcomes = [target["value"] for record in kept for target in record["targets"] if target["metric"] == _HOLDS.metric]
  return f"Of {len(outcomes)} recorded curves {int(sum(outcomes))} passed this test." if outcomes else ""
