"""The settings of a training run that are neither data, task, network nor optimizer."""

import dataclasses
from typing import Literal

from research.config import ConfigError, Duration, detail
from research.training.loop import Schedule
from research.training.precision import Format
from research.training.sharding import Sharding
from research.training.stopping import Stopping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
  """How long, in which precision, on which devices, and what is kept.

  Attributes:
    steps: length of the run, unless a rule of `stopping` ends it before.
    precision: format of the network's arithmetic; parameters stay in float32 (float64 in "float64").
    num_microbatches: a batch is worked off in so many pieces, to save memory.
    steps_per_call: steps in one compiled call, for steps of microseconds.
    average_decay: decay of the exponential moving average of the parameters; 0 keeps none.
    evaluate_with: which parameters the final evaluation takes: the last, those of the best checkpoint, the moving average,
      or the mean over the last `keep_last` checkpoints.
    best_metric: "split/metric" by which checkpoints are ranked and `stopping.patience` counts; None for neither.
    evaluate_every: how often to evaluate during training; 0 for only at the end.
    save_every: how often to write a checkpoint; the end is always saved. With a `best_metric` every evaluation is.
    log_every: how often to write a log line.
    keep_last: newest checkpoints kept.
    keep_best: best checkpoints kept besides, if there is a `best_metric`.
    wandb_project: also log to this project of Weights & Biases.
  """

  steps: Duration
  precision: Format = "float32"
  num_microbatches: int = 1
  steps_per_call: int = 1
  average_decay: float = 0.0
  evaluate_with: Literal["last", "best", "average", "checkpoints"] = "last"
  best_metric: str | None = None
  evaluate_every: Duration = Duration(10, "%")
  save_every: Duration = detail(Duration(10, "%"))
  log_every: Duration = detail(Duration(1, "%"))
  keep_last: int = detail(2)
  keep_best: int = detail(1)
  wandb_project: str | None = detail(None)
  sharding: Sharding = Sharding()
  stopping: Stopping = Stopping()

  def __post_init__(self):
    for name in ("num_microbatches", "steps_per_call", "keep_last", "keep_best"):
      if getattr(self, name) < 1:
        raise ConfigError(f"training.{name}={getattr(self, name)}: must be at least 1")
    if not 0 <= self.average_decay < 1:
      raise ConfigError(f"training.average_decay={self.average_decay}: must be at least 0 and below 1")
    if self.evaluate_with == "average" and not self.average_decay:
      raise ConfigError("training.evaluate_with=average needs training.average_decay above 0")
    if self.best_metric is None and (self.evaluate_with == "best" or self.stopping.patience):
      raise ConfigError("training.best_metric must name a split/metric for evaluate_with=best and stopping.patience")
    if self.best_metric is not None and not self.evaluate_every.amount:
      raise ConfigError("training.best_metric needs evaluations: training.evaluate_every must be above 0")

  def schedule(self, *, batch_size: float, steps_per_epoch: int) -> Schedule:
    """Turns every duration into steps, once; rounded up to whole calls. Raises ConfigError where they do not fit."""
    total = self.steps.steps(batch_size=batch_size, steps_per_epoch=steps_per_epoch)
    if total % self.steps_per_call:
      raise ConfigError(f"training.steps={self.steps} is {total:,} steps, no multiple of steps_per_call={self.steps_per_call}")

    def period(duration: Duration) -> int:
      steps = duration.steps(batch_size=batch_size, steps_per_epoch=steps_per_epoch, total=total)
      return -(-steps // self.steps_per_call) * self.steps_per_call

    rules = self.stopping
    save = self.save_every if self.best_metric is None else self.evaluate_every
    return Schedule(total=total, steps_per_call=self.steps_per_call, log=period(self.log_every),
                    evaluate=period(self.evaluate_every), save=period(save),
                    read_late=rules.gradient_norm is None and rules.relative_improvement is None and rules.plateau is None)
