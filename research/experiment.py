"""An experiment that trains: a recipe as one typed value, and what is done with it.

`measure` is what the verdict is on: train or go on training, then evaluate (research/fit.py).
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
import optax
from flax import nnx

from research.config import ConfigError, outside, override
from research.data.dataset import Data, Opened
from research.figures import Figure, Series, Table
from research.fit import Fit
from research.optimizers.schedule import Length
from research.paper import Paper, Target, seeds_interval
from research.preprocessing.text.base import check_vocabulary
from research.pretrained.weights import Pretrained
from research.studies.base import Findings, Study, total_seconds
from research.tasks.base import Task
from research.trained import Trained
from research.training.program import network
from research.training.settings import Training
from research.training.state import split
from research.workdir import Run, measured


class Model(Protocol):
  """A network's configuration.

  Where a network begins with what the training examples say, it also has `num_examples` and `adapt(params, inputs)`, which
  returns the parameters for the inputs of so many examples (research/fit.py).
  """

  def build(self, inputs: Any, num_outputs: int, rngs: nnx.Rngs) -> nnx.Module: ...


class Optimizer(Protocol):
  """An optimizer's configuration: those of research/optimizers, and SAM around one of them."""

  def build(self, params: Any, length: Length) -> optax.GradientTransformationExtraArgs: ...

  def learning_rates(self, length: Length) -> Callable: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
  """A training run and what it must show.

  Attributes:
    pretrained: weights to begin with, or None to begin at random.
    paper: where the result was published.
    targets: what the run must show; metrics are named split/metric.
    seeds: the seeds that the verdict is on.
  """

  data: Data
  task: Task
  model: Model
  optimizer: Optimizer
  training: Training
  pretrained: Pretrained | None = None
  paper: Paper | None = outside(None)
  targets: tuple[Target, ...] = outside(())
  seeds: tuple[int, ...] = outside((0, 1, 2))

  def check(self, data_dir) -> None:
    """Raises UserError for what can be known to fail before a device works: data, durations, sizes."""
    opened = self.data.open(data_dir)
    self.optimizer.learning_rates(self.length(opened))  # a schedule longer than the run
    self.data.check_chunk(self.training.steps_per_call)
    mesh = self.training.sharding.mesh()
    pieces = mesh.shape["data"] * mesh.shape["fsdp"]
    if self.data.batch_size % (pieces * self.training.num_microbatches):
      raise ConfigError(f"data.batch_size={self.data.batch_size} must be a multiple of {pieces} devices that share batches x "
                        f"training.num_microbatches={self.training.num_microbatches}")
    if self.pretrained is not None:
      net = network(model=self.model, task=self.task, on_device=self.data.on_device, spec=self.data.spec(opened),
                    precision=self.training.precision)
      self.pretrained.check(data_dir, self.model, net.params, net.buffers)
    vocabularies = [(feature, num, "task.vocab_size") for feature, num in getattr(self.task, "vocabularies", {}).items()]
    if (size := getattr(self.model, "vocab_size", None)) is not None:  # of a network whose outputs are no tokens
      vocabularies.append(("inputs", size, "model.vocab_size"))
    for feature, num, field in vocabularies:
      for examples in (opened.train, *opened.evaluation.values()):
        if examples is not None and feature in examples.tokenizers:
          check_vocabulary(examples.tokenizers[feature], num, field)
    metric = self.training.best_metric
    names = [f"{split}/{name}" for split in opened.evaluation for name in self.task.metrics]
    if metric is not None and metric not in names:
      raise ConfigError(f"training.best_metric={metric}: there is no such metric; there are {', '.join(names)}")

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    """Nothing follows from several seeds but their mean."""
    del findings
    return Findings(metrics={})

  def measure(self, seed: int, run: Run) -> Findings:
    """Trains, or goes on training, then evaluates."""
    fit = Fit(self, seed, run)
    return fit.findings(*fit.train())

  def evaluate(self, seed: int, run: Run) -> Findings:
    """Evaluates the last checkpoint of a finished run."""
    fit = Fit(self, seed, run)
    return fit.findings(*fit.resume())

  def trained(self, seed: int, run: Run) -> Trained:
    """The network that a finished run ended with. Raises ConfigError if there is no checkpoint."""
    fit = Fit(self, seed, run)
    state, facts = fit.resume()
    if not facts:
      raise ConfigError(f"there is no checkpoint in {run.folder / 'checkpoints'}: train first")
    params, buffers = fit.chosen(state)
    return Trained(data=self.data, task=self.task, model=self.model, opened=fit.opened, network=fit.program.network,
                   params=params, buffers=buffers, mesh=fit.mesh, seed=seed, run=run, checkpoints=fit.kept)

  def objective(self, seed: int, data_dir=None) -> tuple[Any, Any]:
    """The loss on the first batch as a function of the parameters, and the parameters at the start."""
    opened = self.data.open(data_dir)
    with contextlib.closing(self.data.training(opened, seed=seed)) as batches:
      batch = jax.tree.map(_double, next(batches))
    spec = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
    net = network(model=self.model, task=self.task, on_device=self.data.on_device, spec=spec, precision="float64")
    _, params, buffers = split(net.construct(nnx.Rngs(seed)))

    def loss(params):
      total, count = batch["mask"] @ net.rows(params, buffers, batch, jax.random.key(seed))[0]["loss"]
      return total / count

    return loss, params

  def length(self, opened: Opened) -> Length:
    """How long the run is, in steps and examples."""
    assert opened.train is not None, "there are no training data"
    steps_per_epoch = self.data.batches_per_epoch(opened)
    batch_size = self.data.batch_size if self.data.buckets is None else len(opened.train) / steps_per_epoch
    total = self.training.schedule(batch_size=batch_size, steps_per_epoch=steps_per_epoch).total
    return Length(total_steps=total, batch_size=batch_size, steps_per_epoch=steps_per_epoch)


def _double(x):
  return np.asarray(x, np.float64) if np.issubdtype(np.asarray(x).dtype, np.floating) else np.asarray(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
  """By how much one member's metric exceeds another's; the metric is named "of - minus/split/metric".

  Attributes:
    of, minus: the members.
    metric: "split/metric".
  """

  of: str
  minus: str
  metric: str

  @property
  def name(self) -> str:
    return f"{self.of} - {self.minus}/{self.metric}"

  def measure(self, findings: Iterable[Findings]) -> tuple[float, tuple[float, float], str]:
    """The mean over the seeds, its 95 % interval and the metric's signature.

    The interval is over seeds, Student's t of the differences of equal seeds, and over examples: squares of half widths are
    added, the examples' being those of the members' bootstrap intervals, as if the two had seen different examples. They saw
    the same, which makes their difference more certain than that.
    """
    ours, theirs = f"{self.of}/{self.metric}", f"{self.minus}/{self.metric}"
    pairs = [(found.metrics[ours] - found.metrics[theirs], found.intervals[ours], found.intervals[theirs],
              found.signatures[ours], found.signatures[theirs]) for found in findings]
    values, *intervals, of, minus = zip(*pairs)
    assert len({*of, *minus}) == 1, f"{self.name}: measured as {of} and {minus}"
    mean = float(np.mean(values))
    over_seeds = seeds_interval(values) or (mean, mean)
    squares = [((over_seeds[1] - over_seeds[0]) / 2) ** 2, *(np.mean(np.diff(ends)) ** 2 / 4 for ends in intervals)]
    half = math.sqrt(sum(squares))
    return mean, (mean - half, mean + half), of[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
  """Several training runs or studies that make one result together; their metrics are named member/split/metric.

  Attributes:
    members: each by its name.
    differences: between members, with intervals over seeds and examples.
    paper: where the result was published.
    targets: what the members must show.
    seeds: the seeds that the verdict is on.
  """

  members: "Mapping[str, Experiment | Study | Comparison]"
  differences: tuple[Difference, ...] = outside(())
  paper: Paper | None = outside(None)
  targets: tuple[Target, ...] = outside(())
  seeds: tuple[int, ...] = outside((0, 1, 2))

  def check(self, data_dir) -> None:
    for member in self.members.values():
      member.check(data_dir)

  def measure(self, seed: int, run: Run) -> Findings:
    """Measures every member, in a folder of its own; those that were finished before are not run again."""
    return self._together({name: measured(member, seed, run.child(name)) for name, member in self.members.items()})

  def evaluate(self, seed: int, run: Run) -> Findings:
    return self._together({name: member.evaluate(seed, run.child(name)) for name, member in self.members.items()})

  def _together(self, findings: dict[str, Findings]) -> Findings:
    prefixed = lambda part: {f"{name}/{k}": v for name, found in findings.items() for k, v in getattr(found, part).items()}
    metrics = dict.fromkeys(difference.metric for difference in self.differences)
    beside = [Figure(f"Members side by side, {metric}", "", metric, (Series(
        metric, list(findings), [found.metrics[metric] for found in findings.values()], kind="bars"),)) for metric in metrics]
    return Findings(
        metrics=prefixed("metrics"), intervals=prefixed("intervals"), signatures=prefixed("signatures"),
        seconds=total_seconds(findings.values()),
        figures=(*beside, *(dataclasses.replace(figure, title=f"{figure.title} · {name}")
                            for name, found in findings.items() for figure in found.figures)),
        notes=tuple(f"{name}: {note}" for name, found in findings.items() for note in found.notes),
        stopped="; ".join(f"{name}: {found.stopped}" for name, found in findings.items() if found.stopped),
        compute={f"{name}/{member}".rstrip("/"): took for name, found in findings.items()
                 for member, took in found.compute.items()})

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    """The differences. A member's own conclusions are not drawn: they belong to its own verdict."""
    if not self.differences:
      return Findings(metrics={})
    found = {d.name: d.measure(findings.values()) for d in self.differences}
    rows = tuple((d.of, d.minus, d.metric, *(f"{value:+.4f}" for value in (found[d.name][0], *found[d.name][1])))
                 for d in self.differences)
    return Findings(
        metrics={name: mean for name, (mean, _, _) in found.items()},
        intervals={name: interval for name, (_, interval, _) in found.items()},
        signatures={name: signature for name, (_, _, signature) in found.items()},
        figures=(Table("What makes the difference", ("member", "beside", "metric", "difference", "from", "to"), rows,
                       f"Means over {len(findings)} seeds; 95 % intervals over seeds and examples."),))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection(Comparison):
  """One recipe with several settings, its members: each seed takes the one that does best on examples kept for that.

  Attributes:
    members: each by its name.
    by: "split/metric" of the choice; the split is one that no target looks at.
  """

  members: Mapping[str, Experiment]
  by: str

  def check(self, data_dir) -> None:
    super().check(data_dir)
    for name, member in self.members.items():
      known = [f"{split}/{metric}" for split in member.data.evaluation for metric in member.task.metrics]
      if self.by not in known:
        raise ConfigError(f"by={self.by}: {name} has no such metric; there are {', '.join(known)}")

  def objective(self, seed: int, data_dir=None) -> tuple[Any, Any]:
    """The first member's: all have one network and one loss."""
    return next(iter(self.members.values())).objective(seed, data_dir)

  def trained(self, seed: int, run: Run) -> Trained:
    """The network of the member that was chosen."""
    found = {name: measured(member, seed, run.child(name)) for name, member in self.members.items()}
    best = self._best({name: findings.metrics[self.by] for name, findings in found.items()})
    return self.members[best].trained(seed, run.child(best))

  def _best(self, values: dict[str, float]) -> str:
    metric = next(iter(self.members.values())).task.metrics[self.by.rpartition("/")[2]]
    return (max if metric.better == "higher" else min)(values, key=lambda name: values[name])

  def _together(self, findings: dict[str, Findings]) -> Findings:
    values = {name: found.metrics[self.by] for name, found in findings.items()}
    best = self._best(values)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
    return dataclasses.replace(findings[best], notes=(f"Chosen by {self.by}: {best} ({shown}).",),
                               seconds=total_seconds(findings.values()))


def sweep(base: Experiment | Study, overrides: list[dict[str, Any]], *, paper: Paper, targets: tuple[Target, ...],
          seeds: tuple[int, ...] = (0, 1, 2)) -> Comparison:
  """Compares a recipe with deviations from it, each a dictionary of the same settings that the command line takes."""
  name = lambda changes: ",".join(f"{path}={value}" for path, value in changes.items()) or "recipe"
  members = {name(changes): override(base, changes) for changes in overrides}
  if len(members) < len(overrides):
    raise ConfigError("sweep: two of the overrides are the same")
  return Comparison(members=members, paper=paper, targets=targets, seeds=seeds)
