"""A convex problem on which Adam goes to the worst point and AMSGrad to the best (Reddi, Kale, Kumar 2018).

On [-1, 1] the cost is f_t(x) = 1010x once in 101 steps (or with probability 0.01) and -10x otherwise. The rare slope
outweighs the others, so the optimum is -1; Adam's second moment forgets it before it has done its work.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study

OPTIMUM = -1.0
METHODS = ("adam", "amsgrad")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamNonconvergence(Study):
  """Runs Adam and AMSGrad side by side on the same costs.

  Attributes:
    online_steps: steps of the periodic problem.
    stochastic_steps: steps of the random problem.
    learning_rate: alpha of the step alpha / sqrt(t).
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    epsilon: added to the second moment inside the root.
    rare_slope: the slope that matters.
    common_slope: the slope of all other steps.
    period: steps from one rare slope to the next in the periodic problem.
    probability: of the rare slope in the random problem.
  """

  online_steps: int = 1_000_000
  stochastic_steps: int = 3_000_000
  learning_rate: float = 0.5
  beta1: float = 0.9
  beta2: float = 0.99
  epsilon: float = 1e-16
  rare_slope: float = 1010.0
  common_slope: float = -10.0
  period: int = 101
  probability: float = 0.01

  def _slopes(self, problem: Literal["online", "stochastic"], seed: int):
    if problem == "online":
      rare = jnp.arange(1, self.online_steps + 1) % self.period == 1
    else:
      rare = jax.random.bernoulli(jax.random.key(seed), self.probability, (self.stochastic_steps,))
    return jnp.where(rare, self.rare_slope, self.common_slope).astype(jnp.float64)

  def _run(self, slopes):
    """Position after each step and mean regret up to it, both (steps, 2) for `METHODS`."""

    def step(carry, inputs):
      x_adam, x_amsgrad, m, v, v_max = carry  # the slope does not depend on x, so both methods share their moments
      t, g = inputs
      m = self.beta1 * m + (1 - self.beta1) * g
      v = self.beta2 * v + (1 - self.beta2) * g * g
      v_max = jnp.maximum(v_max, v)
      move = self.learning_rate / jnp.sqrt(t) * m
      new = (jnp.clip(x_adam - move / jnp.sqrt(v + self.epsilon), -1, 1),
             jnp.clip(x_amsgrad - move / jnp.sqrt(v_max + self.epsilon), -1, 1))
      return (*new, m, v, v_max), ((x_adam, x_amsgrad), new)

    t = jnp.arange(1, len(slopes) + 1, dtype=slopes.dtype)
    _, (before, after) = jax.lax.scan(step, (jnp.zeros((), slopes.dtype),) * 5, (t, slopes))
    regret = jnp.cumsum(slopes[:, None] * (jnp.stack(before, axis=1) - OPTIMUM), axis=0) / t[:, None]
    return jnp.stack(after, axis=1), regret

  def measure(self, seed: int, parts: Parts) -> Findings:
    def run(problem):
      x, regret = jax.jit(self._run)(self._slopes(problem, seed))
      at = np.unique(np.geomspace(1, len(x), 150).astype(int)) - 1
      return {"step": at + 1, "x": x[at], "regret": regret[at]}

    problems = ("online", "stochastic")
    metrics, figures = {}, []
    for problem, curves in zip(problems, parts.each("problem", problems, run)):
      x, regret = np.asarray(curves["x"]), np.asarray(curves["regret"])
      for k, method in enumerate(METHODS):
        metrics[f"{problem}_{method}_x"] = float(x[-1, k])
        metrics[f"{problem}_{method}_regret"] = float(regret[-1, k])
      step = np.asarray(curves["step"])
      late = step * 1_000 >= step[-1]  # the first steps' regret is hundreds of times as large
      for name, at, values, label, mark in (
          ("position", step, x, "x", Mark("y", OPTIMUM, "optimum")),
          ("mean regret", step[late], regret[late], "regret / step", Mark("y", 0.1, "limit between the two"))):
        figures.append(Figure(
            title=f"{name.capitalize()}, {problem} problem", x_label="step", y_label=label, x_scale="log",
            series=tuple(Series(m, at, values[:, k]) for k, m in enumerate(METHODS)), marks=(mark,),
            caption="Adam ends at +1, the worst point; AMSGrad, which never forgets its largest gradient, nears -1."))
    return Findings(metrics=metrics, figures=tuple(figures), notes=(
        "The periodic problem has no randomness: its values are the same for every seed.",
        "Regret is realised, against the fixed point -1; in the random problem its own noise is about 0.1 for Adam."))
