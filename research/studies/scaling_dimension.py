"""How fast the loss falls with the number of parameters depends on the dimension of the data (Sharma, Kaplan 2022).

Shapes: B inputs, D their dimension, R restarts.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Series
from research.models import mlp
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.studies import scanned
from research.studies.base import Findings, Parts, Study


def num_parameters(dim: int, width: int) -> int:
  """Of a network dim-width-width-1 with biases."""
  return (dim + 1) * width + (width + 1) * width + width + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScalingDimension(Study):
  """Students of several widths learn from a random teacher, on inputs of several dimensions.

  Attributes:
    dims: dimensions of the input; each is uniform in ±½.
    teacher_width: units of both hidden layers of the teacher; its answers are scaled to unit variance.
    widths: units of both hidden layers of the students.
    restarts: students of each width; the best counts.
    optimizer: of the students.
    batch_size: fresh inputs a step.
    steps: updates.
    num_test: inputs that are tested on.
  """

  dims: tuple[int, ...] = (2, 4, 8)
  teacher_width: int = 96
  widths: tuple[int, ...] = (4, 8, 16, 32)
  restarts: int = 4
  optimizer: Adam = Adam(learning_rate=1e-2, schedule=Cosine())
  batch_size: int = 512
  steps: int = 20_000
  num_test: int = 20_000

  def _inputs(self, key, num: int, dim: int):
    return jax.random.uniform(key, (num, dim), float, -0.5, 0.5)

  def _network(self, width: int, dim: int, seed: int):
    config = mlp.Config(widths=(width, width), init="he_normal")
    network, params = scanned.build(config, jax.ShapeDtypeStruct((self.batch_size, dim), jnp.zeros(()).dtype), 1, seed)
    return lambda params, x: network(params)(x)[:, 0], params

  def _teacher(self, seed: int, dim: int):
    apply, params = self._network(self.teacher_width, dim, seed)
    sample = apply(params, self._inputs(jax.random.key(seed + 3_000), 10_000, dim))
    return lambda x: (apply(params, x) - sample.mean()) / sample.std()

  def _students(self, seed: int, dim: int):
    """errors(params, x, y) -> by width, (R,); and initial parameters by width, stacked."""
    apply, stacked = {}, {}
    for width in self.widths:
      seeds = [1_000 * (seed + 1) + 10 * width + restart for restart in range(self.restarts)]
      made = [self._network(width, dim, s) for s in seeds]
      apply[str(width)] = made[0][0]
      stacked[str(width)] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params for _, params in made))

    def errors(params, x, y):
      error = lambda apply, one: jnp.mean((apply(one, x) - y) ** 2)
      return {width: jax.vmap(functools.partial(error, apply[width]))(params[width]) for width in apply}

    return errors, stacked

  def objective(self, seed: int, data_dir=None):
    teacher, (errors, params) = self._teacher(seed, 2), self._students(seed, 2)
    x = self._inputs(jax.random.key(seed), 64, 2)
    return lambda params: sum(map(jnp.sum, errors(params, x, teacher(x)).values())), params

  def _train(self, seed: int, dim: int) -> dict[str, np.ndarray]:
    """Test error of every restart, (R,) by width."""
    teacher, (errors, params) = self._teacher(seed, dim), self._students(seed, dim)
    key = jax.random.fold_in(jax.random.key(seed + 1_000), dim)

    def loss(params, step):
      x = self._inputs(jax.random.fold_in(key, step), self.batch_size, dim)
      return sum(map(jnp.sum, errors(params, x, teacher(x)).values()))  # a sum: each student by itself

    x = self._inputs(jax.random.key(seed + 2_000), self.num_test, dim)
    y = teacher(x)
    _, curves = scanned.train(loss, params, self.optimizer, steps=self.steps, every=self.steps,
                              measure=lambda params: errors(params, x, y))
    return {width: curves[width][-1] for width in params}

  def measure(self, seed: int, parts: Parts) -> Findings:
    found = parts.each("dim", self.dims, lambda dim: self._train(seed, dim))
    metrics, series = {}, []
    for dim, errors in zip(self.dims, found):
      size = np.array([num_parameters(dim, width) for width in self.widths])
      best = np.array([np.nanmin(errors[str(width)]) for width in self.widths])
      slope, level = np.polyfit(np.log(size), np.log(best), 1)
      metrics[f"exponent_{dim}"] = -slope
      series += [Series(f"{dim} dimensions", size, best, kind="points"),
                 Series(f"fit, {dim} dimensions", size, np.exp(level + slope * np.log(size)), kind="theory")]
    return Findings(metrics=metrics, figures=(
        Figure("Loss over parameters", "parameters of the student", "test error / variance", tuple(series), x_scale="log",
               y_scale="log", caption="A power law whose exponent falls with the dimension of the input."),
        Figure("Exponent over dimension", "dimension of the input", "exponent α",
               (Series("measured", self.dims, [metrics[f"exponent_{dim}"] for dim in self.dims], kind="points"),
                Series("4 / d", self.dims, [4 / dim for dim in self.dims], kind="theory")), x_scale="log", y_scale="log")))

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    mean = [np.mean([found.metrics[f"exponent_{dim}"] for found in findings.values()]) for dim in self.dims]
    return Findings(metrics={"exponents_out_of_order": float(np.sum(np.diff(mean) >= 0))})
