"""Gradient descent on the logistic loss tends, slowly, to the maximum-margin direction (Soudry et al. 2018).

Where the theory holds the gap is proportional to 1 / log t. On the problems drawn here a million steps do not get there:
the shortest separating vector is long (norm 3 to 11), of the order of log t itself, and examples a fifth beyond the
margin stop to matter only as t^-0.2. The gaps fall, but in curves that are still bent.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study


def max_margin(z_ND) -> np.ndarray:
  """The shortest w (D,) with z @ w >= 1 for signed examples z = y x, by nonnegative least squares (Lawson, Hanson 1974).

  Raises:
    ValueError: no w separates the examples.
  """
  from scipy import optimize  # here: its import takes a while, and listing flags needs none of it

  num, dim = z_ND.shape
  stacked = np.concatenate([z_ND.T, np.ones((1, num))])
  target = np.append(np.zeros(dim), 1.0)
  residual = stacked @ optimize.nnls(stacked, target)[0] - target
  if np.linalg.norm(residual) < 1e-9:
    raise ValueError("the examples are not separable")
  return -residual[:dim] / residual[dim]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeparableMargin(Study):
  """Runs gradient descent for very many steps on a small separable problem and follows its direction.

  Attributes:
    num_examples: drawn from N(0, I), labelled by a random direction.
    input_dim: features.
    steps: gradient steps.
    learning_rate: of full-batch gradient descent on the mean logistic loss.
    fit_from: first step of the fit against 1 / log t.
  """

  num_examples: int = 20
  input_dim: int = 5
  steps: int = 1_000_000
  learning_rate: float = 1.0
  fit_from: int = 1_000

  def __post_init__(self):
    if not 1 < self.fit_from * 10 <= self.steps:
      raise ValueError(f"steps={self.steps} must be at least ten times fit_from={self.fit_from}")

  def _signed(self, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, teacher = rng.normal(size=(self.num_examples, self.input_dim)), rng.normal(size=self.input_dim)
    return x * np.sign(x @ teacher)[:, None]

  def objective(self, seed: int, data_dir=None):
    z = jnp.asarray(self._signed(seed))
    return lambda w: jnp.mean(jax.nn.softplus(-z @ w)), jnp.zeros(self.input_dim, z.dtype)

  def measure(self, seed: int, parts: Parts) -> Findings:
    def run(seed):
      loss, w = self.objective(seed)

      def step(w, _):
        w = w - self.learning_rate * jax.grad(loss)(w)
        return w, w

      path = jax.jit(lambda w: jax.lax.scan(step, w, length=self.steps)[1])(w)
      at = np.unique(np.geomspace(10, self.steps, 150).astype(int))
      return {"step": at, "w": path[at - 1]}

    [path] = parts.each("seed", [seed], run)
    z, t, w = self._signed(seed), np.asarray(path["step"]), np.asarray(path["w"])
    limit = max_margin(z)
    w = w / np.linalg.norm(w, axis=1, keepdims=True)
    unit = limit / np.linalg.norm(limit)
    distance = np.linalg.norm(w - unit, axis=1)
    margin_gap = 1 / np.linalg.norm(limit) - np.min(w @ z.T, axis=1)
    decades = np.arange(1, np.floor(np.log10(self.steps)) + 1)
    by_decade = np.interp(decades, np.log10(t), distance)
    late = t >= self.fit_from
    r2 = lambda y: float(np.corrcoef(1 / np.log(t[late]), y[late])[0, 1] ** 2)
    return Findings(
        metrics={"decades_without_fall": float(np.sum(np.diff(by_decade) >= 0)), "direction_r2": r2(distance),
                 "margin_r2": r2(margin_gap), "distance": float(distance[-1])},
        figures=(Figure(
            title="Way to the maximum-margin direction", x_label="1 / log(step)", y_label="gap",
            series=(Series("distance of directions", 1 / np.log(t), distance),
                    Series("margin still missing", 1 / np.log(t), margin_gap)),
            caption="In the limit both gaps are straight lines to the origin, in proportion to 1 / log(step)."),))
