"""How far activations move in the first steps, by width and parametrisation (Yang, Hu et al. 2021).

This is the coordinate check, not the transfer of learning rates: a parametrisation is right if what one step does to an
activation does not depend on the width.

The hidden vectors h are taken before the ReLU, as the authors' hooks on linear modules see them. The second layer after
its ReLU is measured beside: there the standard parametrisation grows less (slope about 0.5 instead of 0.9), since its
first steps switch off many units of wide layers, and a unit that is off no longer changes.
"""

import dataclasses
import functools
import itertools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study

LAYERS = ("h1", "h2", "relu_h2", "logits")
PARAMETRIZATIONS = ("sp", "mup")


def activations(kernels, x_BD):
  """What `LAYERS` names: both hidden layers before their ReLU, the second after it, (B, width); logits (B, classes)."""
  h1 = x_BD @ kernels[0]
  h2 = jax.nn.relu(h1) @ kernels[1]
  return h1, h2, jax.nn.relu(h2), jax.nn.relu(h2) @ kernels[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MupCoordinateCheck(Study):
  """Trains a ReLU network for a few steps at several widths, in the standard parametrisation and in muP.

  Attributes:
    widths: of both hidden layers.
    num_examples: inputs, drawn from N(0, I), with random labels.
    input_dim: input features.
    num_classes: of the labels.
    learning_rate: Adam's, for every layer in the standard parametrisation and at the base width in muP.
    base_width: the width at which muP's rates equal the standard ones.
    steps: full-batch steps.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512, 1_024, 2_048)
  num_examples: int = 64
  input_dim: int = 32
  num_classes: int = 10
  learning_rate: float = 0.01
  base_width: int = 64
  steps: int = 4

  def __post_init__(self):
    if len(set(self.widths)) < 2:
      raise ValueError(f"widths={self.widths}: a slope needs two different widths")

  def _data(self, seed: int):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(self.num_examples, self.input_dim))
    return jnp.asarray(x, jnp.float32), jnp.asarray(rng.integers(self.num_classes, size=self.num_examples))

  def _initial(self, seed: int, width: int, parametrization: Literal["sp", "mup"]):
    sizes = (self.input_dim, width, width, self.num_classes)
    deviations = 1 / np.sqrt(sizes[:3])
    if parametrization == "mup":
      deviations[2] = 1 / width
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), width), 3)
    return [jax.random.normal(key, shape) * deviation
            for key, shape, deviation in zip(keys, itertools.pairwise(sizes), deviations)]

  def _loss(self, kernels, x, y):
    return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(activations(kernels, x)[-1], y))

  def objective(self, seed: int, data_dir=None):
    x, y = self._data(seed)
    return lambda kernels: self._loss(kernels, x, y), self._initial(seed, self.widths[0], "sp")

  @functools.partial(jax.jit, static_argnames="self")
  def _changes(self, kernels, rates, x, y):
    """Mean absolute change of each of `LAYERS` over the steps; `rates` are the learning rates of the three kernels."""
    adam = optax.scale_by_adam()

    def step(carry, _):
      kernels, state = carry
      updates, state = adam.update(jax.grad(self._loss)(kernels, x, y), state)
      return ([k - rate * u for k, rate, u in zip(kernels, rates, jax.tree.leaves(updates))], state), None

    (trained, _), _ = jax.lax.scan(step, (kernels, adam.init(kernels)), length=self.steps)
    return [jnp.mean(jnp.abs(new - old)) for new, old in zip(activations(trained, x), activations(kernels, x))]

  def measure(self, seed: int, parts: Parts) -> Findings:
    x, y = self._data(seed)

    def run(width):
      shrink = self.base_width / width
      rates = {"sp": (1.0, 1.0, 1.0), "mup": (1.0, shrink, shrink)}
      return {p: self._changes(self._initial(seed, width, p), self.learning_rate * jnp.array(rates[p]), x, y)
              for p in PARAMETRIZATIONS}

    results = parts.each("width", self.widths, run)
    metrics, figures = {}, []
    for p, title in zip(PARAMETRIZATIONS, ("Standard parametrisation", "muP")):
      series = []
      for k, layer in enumerate(LAYERS):
        changes = [float(result[p][k]) for result in results]
        metrics[f"{p}_{layer}_slope"] = float(np.polyfit(np.log(self.widths), np.log(changes), 1)[0])
        series.append(Series(layer, self.widths, changes))
      figures.append(Figure(
          title=title, x_label="width", y_label=f"mean |change| after {self.steps} steps", series=tuple(series),
          x_scale="log", y_scale="log",
          caption="Flat in width under muP; under the standard parametrisation the second layer and the logits move ever "
                  "further as the network gets wider."))
    return Findings(metrics=metrics, figures=tuple(figures), notes=(
        "The inputs of the first layer do not grow with width, so h1 does not grow in either parametrisation.",))
