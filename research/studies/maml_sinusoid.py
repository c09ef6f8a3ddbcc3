"""Initial weights from which one gradient step learns a new sine wave (Finn, Abbeel, Levine 2017).

Shapes: B tasks, K examples of a task.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.figures import Figure, Mark, Series
from research.models import mlp
from research.optimizers.adam import Adam
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

KINDS = ("meta-learned", "pretrained")


@functools.partial(jax.jit, static_argnames=("num", "num_examples"))
def waves(key, num: int, num_examples: int) -> tuple[jax.Array, jax.Array]:
  """x and y (num, num_examples, 1) of sine waves of amplitude 0.1 to 5 and phase 0 to π; x in ±5."""
  keys = jax.random.split(key, 3)
  amplitude = jax.random.uniform(keys[0], (num, 1, 1), float, 0.1, 5)
  phase = jax.random.uniform(keys[1], (num, 1, 1), float, 0, np.pi)
  x = jax.random.uniform(keys[2], (num, num_examples, 1), float, -5, 5)
  return x, amplitude * jnp.sin(x - phase)


def adapt(error, params, x, y, rate: float, num_steps: int):
  """Parameters after each of num_steps steps of gradient descent on error(params, x, y), the first before any; stacked."""

  def step(params, _):
    new = jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(error)(params, x, y))
    return new, new

  _, later = jax.lax.scan(step, params, length=num_steps)
  return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), params, later)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MAMLSinusoid(Study):
  """Trains initial weights for fast adaptation; and, to compare, weights that fit all waves at once.

  Attributes:
    model: the network.
    optimizer: of the initial weights.
    inner_rate: of gradient descent on a task.
    inner_steps: its steps in training.
    test_steps: its steps in testing.
    num_tasks: tasks a step.
    num_examples: examples to adapt to, and as many to be judged by in training (K).
    steps: updates.
    num_test: tasks of the test.
    num_judged: further examples of each on which the test is.
  """

  model: mlp.Config = mlp.Config(widths=(40, 40))
  optimizer: Adam = Adam(learning_rate=1e-3)
  inner_rate: float = 0.01
  inner_steps: int = 1
  test_steps: int = 10
  num_tasks: int = 25
  num_examples: int = 10
  steps: int = 40_000
  num_test: int = 600
  num_judged: int = 100

  def __post_init__(self):
    if not 1 <= self.inner_steps <= self.test_steps:
      raise ConfigError(f"inner_steps={self.inner_steps}: must be from 1 to test_steps={self.test_steps}")

  def _problem(self, seed: int):
    """error(params, x, y) of one task, and initial parameters."""
    network, params = scanned.build(self.model, jax.ShapeDtypeStruct((self.num_examples, 1), jnp.zeros(()).dtype), 1, seed)
    return lambda params, x, y: jnp.mean((network(params)(x) - y) ** 2), params

  def _loss(self, error, kind: str, key):
    """Mean over tasks of the error after adaptation; or of the error as it is, on the same waves."""

    def of_task(params, x, y):
      seen, judged = (x[:self.num_examples], y[:self.num_examples]), (x[self.num_examples:], y[self.num_examples:])
      if kind == "pretrained":
        return error(params, x, y)
      path = adapt(error, params, *seen, self.inner_rate, self.inner_steps)
      return error(jax.tree.map(lambda p: p[-1], path), *judged)

    def loss(params, step):
      x, y = waves(jax.random.fold_in(key, step), self.num_tasks, 2 * self.num_examples)
      return jnp.mean(jax.vmap(of_task, (None, 0, 0))(params, x, y))

    return loss

  def objective(self, seed: int, data_dir=None):
    error, params = self._problem(seed)
    loss = self._loss(error, "meta-learned", jax.random.key(seed))
    return lambda params: loss(params, 0), params

  def _run(self, seed: int, kind: str) -> dict:
    error, initial = self._problem(seed)
    loss = self._loss(error, kind, jax.random.key(seed + 1_000))
    params, _ = scanned.train(loss, initial, self.optimizer, steps=self.steps, every=self.steps, measure=lambda _: {})
    x, y = waves(jax.random.key(seed + 2_000), self.num_test, self.num_examples + self.num_judged)

    @jax.jit
    def errors(x, y):
      path = adapt(error, params, x[:self.num_examples], y[:self.num_examples], self.inner_rate, self.test_steps)
      return jax.vmap(lambda params: error(params, x[self.num_examples:], y[self.num_examples:]))(path)

    each = jax.vmap(errors)(x, y)
    return {"mean": each.mean(0), "median": jnp.median(each, axis=0), "half": 1.96 * each.std(0) / np.sqrt(self.num_test)}

  def measure(self, seed: int, parts: Parts) -> Findings:
    runs = dict(zip(KINDS, parts.each("network", KINDS, lambda kind: self._run(seed, kind))))
    names = {"meta-learned": "meta", "pretrained": "pretrained"}
    metrics, intervals = {}, {}
    for kind, run in runs.items():
      for step in sorted({0, 1, self.test_steps}):
        name, mean, half = f"{names[kind]}_error_{step}", run["mean"][step], run["half"][step]
        metrics[name], intervals[name] = mean, (mean - half, mean + half)
      metrics[f"{names[kind]}_median_{self.test_steps}"] = run["median"][self.test_steps]
    return Findings(metrics=metrics, intervals=intervals, figures=(Figure(
        "Error on new waves", "gradient steps on 10 examples", "mean squared error",
        tuple(Series(f"{kind}, {what}", range(self.test_steps + 1), run[what]) for kind, run in runs.items()
              for what in ("mean", "median")), y_scale="log",
        marks=(Mark("y", 0.45, "after 1 step"), Mark("y", 0.15, "after 10 steps")),
        caption="One step brings the meta-learned network most of the way; the pretrained one hardly moves."),))
