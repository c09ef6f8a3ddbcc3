"""One seed's training: data, program, checkpoints and evaluation wired into the loop, in the order in which things happen."""

import contextlib
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research import flops, rules
from research.augmentation import base as augmentation
from research.config import UserError, to_json
from research.data.dataset import Opened
from research.data.loading import Loader
from research.evaluation.evaluator import evaluate, make_statistics
from research.metrics.base import mean
from research.planning.compute import peak_bytes
from research.results import evaluate_splits, network_figures
from research.studies.base import Findings
from research.training import cache, loop, program
from research.training.checkpoint import Checkpoints
from research.training.interruption import Interrupted
from research.training.progress import Progress, say
from research.training.settings import Training
from research.training.sharding import batch_sharding, replicated
from research.training.state import TrainState
from research.training.stopping import Watch
from research.training.summaries import Summaries
from research.workdir import Run


class NotFinite(UserError):
  """The loss or a gradient is not finite."""


def _keep_tokenizers(opened: Opened, run: Run) -> None:
  """Puts what makes numbers of texts beside the weights that know these numbers."""
  assert opened.train is not None
  for feature, tokenizer in opened.train.tokenizers.items():
    if jax.process_index():
      return
    target = run.folder / "tokenizers" / feature
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:  # the run's folder may be remote
      tokenizer.save(pathlib.Path(name))
      for path in pathlib.Path(name).iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def _shapes(batch: dict) -> tuple[tuple[int, ...], ...]:
  return tuple(batch[name].shape for name in sorted(batch))


class Fit:
  """Everything that one seed of an `Experiment` needs to be trained and evaluated."""

  def __init__(self, experiment, seed: int, run: Run):
    cache.enable()
    self.experiment, self.seed, self.run = experiment, seed, run
    training = experiment.training
    self.opened = experiment.data.open(run.data_dir)
    self.length = experiment.length(self.opened)
    self.schedule = training.schedule(batch_size=self.length.batch_size, steps_per_epoch=self.length.steps_per_epoch)
    self.mesh = training.sharding.mesh()
    self.program = program.build(
        model=experiment.model, task=experiment.task, optimizer=experiment.optimizer, training=training,
        specs=experiment.data.specs(self.opened), length=self.length, mesh=self.mesh, on_device=experiment.data.on_device)
    self.metrics = experiment.task.metrics
    better = self.metrics[(training.best_metric or "/loss").rpartition("/")[2]].better
    self.watch = Watch(training.stopping, better)
    self.checkpoints = Checkpoints(
        run.folder / "checkpoints", keep_last=training.keep_last, keep_best=training.keep_best,
        best_metric=training.best_metric, best_mode="min" if better == "lower" else "max")
    run.interruption.finish = self.checkpoints.wait
    self.statistics = make_statistics(self.program.network, experiment.task, self.mesh)
    self.seconds = dict.fromkeys(("compile", "input", "step", "evaluation", "checkpoint"), 0.0)
    self.program_bytes: float | None = None  # of the compiled step on a device
    self.values: dict[str, float] = {}  # the newest log line and evaluation, by split/metric

  def resume(self) -> tuple[TrainState, dict]:
    """The newest whole checkpoint and its facts, or a fresh state, with pretrained weights if there are any, and none."""
    if self.checkpoints.latest() is None:
      return self._begin(self.program.create(jax.random.key(self.seed))), {}
    state, facts = self.checkpoints.restore(None, self.program.abstract)
    self.watch.restore(facts["watch"])
    self.values, self.seconds = facts["values"], facts["seconds"]
    return state, facts

  def _begin(self, state: TrainState) -> TrainState:
    """A fresh state with what does not begin at random: a file's weights, or what the network takes from the examples."""
    experiment, params, buffers = self.experiment, state.params, state.buffers
    if experiment.pretrained is not None:
      params, buffers, report = experiment.pretrained.load(self.run.data_dir, experiment.model, params, buffers)
      say(f"{self.run.label}{report}")
    elif hasattr(experiment.model, "adapt"):
      params = jax.device_put(experiment.model.adapt(params, self._first_inputs(experiment.model.num_examples)),
                              jax.tree.map(lambda p: p.sharding, params))
    average = None if state.average is None else jax.tree.map(jnp.copy, params)
    return dataclasses.replace(state, params=params, buffers=buffers, average=average)

  def _first_inputs(self, num: int) -> jax.Array:
    """The first training examples as the network sees them in training, but for what changes at random on the host."""
    data, at = self.experiment.data, np.arange(min(num, len(self.opened.train)))
    batch, _ = Loader(self.opened.train, data.transforms, None).load(at, np.zeros_like(at))
    return augmentation.apply(data.on_device, jax.tree.map(jnp.asarray, batch), jax.random.key(self.seed))["inputs"]

  def train(self) -> tuple[TrainState, dict]:
    """Trains to the end. Returns the last state and its facts."""
    begin = time.monotonic()
    state, facts = self.resume()
    start = int(state.step)
    if start:
      say(f"{self.run.label}goes on at step {start:,}")
    _keep_tokenizers(self.opened, self.run)
    compiled = self.compile()
    self.seconds["compile"] += time.monotonic() - begin

    self.progress = Progress(self.schedule.total, start, self.run.label)
    self.summaries = Summaries(self.run.folder, resume_step=start, num_rows=facts.get("rows", 0),
                               config=to_json(self.experiment), wandb_project=self.experiment.training.wandb_project)
    batches = self.experiment.data.training(
        self.opened, seed=self.seed, chunk=self.schedule.steps_per_call, state=facts.get("data"),
        sharding=batch_sharding(self.mesh, chunked=self.schedule.steps_per_call > 1))
    callbacks = loop.Callbacks(log=self._log, evaluate=self._evaluate, save=self._save, live=self.progress.live)
    with self.checkpoints, contextlib.closing(batches), contextlib.closing(self.summaries):
      try:
        state, _, stop = loop.run(
            state, compiled, batches, self.schedule, callbacks, self.run.interruption, self.seconds,
            self.fresh_window, evaluated=facts.get("evaluated", 0), stop=facts.get("stop", ""))
      except Interrupted:
        self.checkpoints.wait()  # that the last step could not be saved must be said
        raise
    return state, {"stop": stop}

  def compile(self) -> Callable[[TrainState, dict], TrainState]:
    """Everything that the loop will call, so that it never stands still for a compiler. Returns the step."""
    self.checkpoints.prepare()
    traced = [self.program.step.trace(self.program.abstract, batch) for batch in self.program.batches]
    self.flops = flops.count_jaxpr(traced[-1].jaxpr).total / self.schedule.steps_per_call
    finite = jax.jit(lambda params: jnp.stack([jnp.isfinite(p).all() for p in jax.tree.leaves(params)]),
                     out_shardings=replicated(self.mesh))
    self.finite = finite.trace(self.program.abstract.params).lower().compile()
    self.fresh_window = self.program.fresh_window.lower().compile()
    self.learning_rates = self._learning_rates()
    steps = [step.lower().compile() for step in traced]
    self.program_bytes = peak_bytes(steps[-1].memory_analysis(), self.mesh)
    if len(steps) == 1:
      return steps[0]
    by_shape = {_shapes(batch): step for batch, step in zip(self.program.batches, steps, strict=True)}
    say(f"{self.run.label}{len(steps)} shapes of batches, a compiled step for each")
    return lambda state, batch: by_shape[_shapes(batch)](state, batch)

  def findings(self, state: TrainState, facts: dict) -> Findings:
    """Evaluates on every split, with bootstrap intervals."""
    params, buffers = self.chosen(state)
    found = evaluate_splits(self.experiment, self.opened, self.run.data_dir, self.mesh, self.program.network,
                            self.statistics, params, buffers, self.run.interruption.raise_if_requested)
    figures = network_figures(self.experiment, self.opened, self.run.data_dir, self.mesh, self.program.network, params, buffers,
                              self.seed)
    trained = {name: value for name, value in self.values.items() if name.startswith("train/")}
    return dataclasses.replace(found, metrics={**trained, **found.metrics}, figures=found.figures + figures,
                               seconds=self.seconds, stopped=facts.get("stop", ""), compute=self._took(int(state.step)))

  def _took(self, steps: int) -> dict[str, dict[str, Any]]:
    """See Findings.compute; nothing of a run that was only evaluated again."""
    if self.program_bytes is None:
      return {}
    device = self.mesh.devices.flat[0]
    return {"": {"device": device.device_kind, "devices": self.mesh.devices.size,
                 "step_seconds": (self.seconds["step"] + self.seconds["input"]) / steps,
                 "hours": (sum(self.seconds.values()) - self.seconds["compile"]) / 3600, "program_bytes": self.program_bytes,
                 "peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use")}}

  def chosen(self, state: TrainState) -> tuple[Any, Any]:
    """Parameters and buffers that the final evaluation takes, and whatever is made of the network."""
    training: Training = self.experiment.training
    match training.evaluate_with:
      case "last":
        return state.params, state.buffers
      case "average":
        return state.average, state.buffers
      case "best":
        best = self._restored(self.watch.best_step)
        return best.params, best.buffers
      case "checkpoints":
        steps = self.checkpoints.steps()[-training.keep_last:]
        states = [self._restored(step).params for step in steps]
        return jax.tree.map(lambda *p: sum(p) / len(p), *states), state.buffers

  def kept(self) -> Iterator[Any]:
    """The parameters of each checkpoint that is kept, the oldest first."""
    return (self._restored(step).params for step in self.checkpoints.steps())

  def _learning_rates(self) -> dict[int, float]:
    """Of every log step, computed at once: one by one, each would wait for the device's step under way."""
    if not self.schedule.log:
      return {}
    period, total = self.schedule.log, self.schedule.total
    steps = np.minimum(np.arange(period, total + period, period), total)
    rates = jax.jit(jax.vmap(self.experiment.optimizer.learning_rates(self.length)))(steps - 1)
    return dict(zip(steps.tolist(), np.asarray(rates).tolist(), strict=True))

  def _restored(self, step: int) -> TrainState:
    return self.checkpoints.restore(step, self.program.abstract)[0]

  # --- what the loop calls back ---------------------------------------------------------------------------------------

  def _log(self, step: int, window: dict[str, np.ndarray]) -> str:
    self._check_finite(*window.pop("first_bad"))
    norm, steps = mean(window["grad_norm"]), window.pop("grad_norm")[1]
    values = {f"train/{name}": metric.value(window[name]) for name, metric in self.metrics.items()}
    rate = self.progress.rate(step)
    unit, units = self.experiment.task.unit, rate * float(window["loss"][1] / steps)
    learning_rate = self.learning_rates[step]
    self.summaries.write(step, {**values, "train/grad_norm": norm, "train/learning_rate": learning_rate,
                                f"speed/{unit}_per_second": units, "speed/flops_per_second": rate * self.flops})
    self.values.update(values)
    shown = "  ".join(f"{name.partition('/')[2]} {value:.4g}" for name, value in values.items())
    self.progress.line(step, f"{shown}  lr {learning_rate:.3g}  {units:,.0f} {unit}/s  {self._speed(rate)}", every=1)
    return self.watch.logged(values["train/loss"], norm)

  def _check_finite(self, bad_step: int, leaf: int) -> None:
    if bad_step >= 0:
      what = f"the gradient of {list(rules.paths(self.program.abstract.params))[leaf]}" if leaf >= 0 else "the loss"
      self._raise_not_finite(what, bad_step + 1)

  def _raise_not_finite(self, what: str, step: int) -> None:
    self.checkpoints.wait()
    good = self.checkpoints.steps()
    raise NotFinite(f"{what} is not finite at step {step:,}; "
                    + (f"the last good checkpoint is step {good[-1]:,} in {self.run.folder / 'checkpoints'}" if good
                       else "there is no checkpoint yet"))

  def _speed(self, rate: float) -> str:
    """The share of the devices' peak where that is known, else GFLOP/s."""
    devices = self.mesh.devices
    peak = flops.peak(devices.flat[0])
    return f"MFU {rate * self.flops / peak.flops / devices.size:.1%}" if peak else f"{rate * self.flops / 1e9:,.1f} GFLOP/s"

  def _evaluate(self, step: int, state: TrainState) -> str:
    params = state.average if self.experiment.training.evaluate_with == "average" else state.params
    best = self.experiment.training.best_metric
    # A checkpoint that is to be ranked is saved with its value, so that its evaluation is not broken off.
    between = (lambda: None) if best else self.run.interruption.raise_if_requested
    values = {}
    for split in self.opened.evaluation:
      batches = self.experiment.data.evaluating(self.opened, split, sharding=batch_sharding(self.mesh))
      evaluation = evaluate(self.statistics, params, state.buffers, batches, self.experiment.task, between)
      values.update({f"{split}/{name}": value for name, value in evaluation.values.items()})
    self.values.update(values)
    self.summaries.write(step, values)
    self.progress.line(step, "  ".join(f"{name} {value:.4g}" for name, value in values.items()))
    return self.watch.evaluated(step, values[best]) if best else ""

  def _save(self, step: int, state: TrainState, facts: dict, passing: bool) -> None:
    self._check_finite(*jax.device_get(state.window["first_bad"]))  # the steps since the last log line
    finite = jax.device_get(self.finite(state.params))  # the last update; its gradient was
    if not finite.all():
      self._raise_not_finite(f"the parameter {list(rules.paths(state.params))[finite.argmin()]}", step)
    best = self.experiment.training.best_metric
    measured = {best: self.values[best]} if best and facts["evaluated"] == step else None
    facts = {**facts, "watch": self.watch.state(), "values": self.values, "seconds": self.seconds,
             "rows": self.summaries.num_rows}
    self.checkpoints.save(step, state, facts, measured, passing=passing)
