"""Until the loss is at its minimum: rules that end a run, and say which of them did."""

import dataclasses

from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopping:
  """Rules that end training before `training.steps`; each is off when None.

  The loss and the gradient norm are means over the steps of a log line (`training.log_every`).

  Attributes:
    gradient_norm: stop when the gradient norm is at most this: the loss is stationary.
    relative_improvement: stop when the lowest loss fell by less than this fraction over the last `window` log lines.
    window: log lines that `relative_improvement` looks back on.
    plateau: stop after so many log lines without a new lowest loss.
    patience: stop after so many evaluations without a better `training.best_metric` (early stopping).
  """

  gradient_norm: float | None = None
  relative_improvement: float | None = None
  window: int = 10
  plateau: int | None = None
  patience: int | None = None

  def __post_init__(self):
    for name in ("gradient_norm", "relative_improvement", "window", "plateau", "patience"):
      value = getattr(self, name)
      if value is not None and value <= 0:
        raise ConfigError(f"stopping.{name}={value}: must be above 0")


class Watch:
  """Applies the rules to a run. Its state is plain JSON, so that a resumed run stops where it would have."""

  def __init__(self, rules: Stopping, better: str):
    self._rules = rules
    self._sign = 1.0 if better == "lower" else -1.0
    self.lowest: list[float] = []  # the lowest loss up to each log line
    self.best: float | None = None
    self.best_step = 0
    self.evaluations_since_best = 0

  def logged(self, loss: float, gradient_norm: float) -> str:
    """Takes note of a log line. Returns why to stop, or ""."""
    rules = self._rules
    self.lowest.append(min(loss, self.lowest[-1]) if self.lowest else loss)
    if rules.gradient_norm is not None and gradient_norm <= rules.gradient_norm:
      return f"gradient norm {gradient_norm:.3g} is at most {rules.gradient_norm:g}"
    if rules.relative_improvement is not None and len(self.lowest) > rules.window:
      before, now = self.lowest[-1 - rules.window], self.lowest[-1]
      if before - now < rules.relative_improvement * abs(before):
        return f"the loss fell by less than {rules.relative_improvement:g} of itself over {rules.window} log lines"
    if rules.plateau is not None and len(self.lowest) > rules.plateau and self.lowest[-1 - rules.plateau] == self.lowest[-1]:
      return f"no lower loss for {rules.plateau} log lines"
    return ""

  def evaluated(self, step: int, value: float) -> str:
    """Takes note of best_metric at an evaluation. Returns why to stop, or ""."""
    if self.best is None or self._sign * value < self._sign * self.best:
      self.best, self.best_step, self.evaluations_since_best = value, step, 0
    else:
      self.evaluations_since_best += 1
    if self._rules.patience is not None and self.evaluations_since_best >= self._rules.patience:
      return f"no better evaluation for {self._rules.patience} evaluations"
    return ""

  def state(self) -> dict:
    return {name: getattr(self, name) for name in ("lowest", "best", "best_step", "evaluations_since_best")}

  def restore(self, state: dict) -> None:
    for name, value in state.items():
      setattr(self, name, value)
