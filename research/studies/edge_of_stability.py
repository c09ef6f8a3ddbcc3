"""Full-batch gradient descent drives the sharpness to 2 / learning rate and stays there (Cohen et al. 2021)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.data.digits import load_digits
from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study


def largest_eigenvalue(loss, params, direction, num_iterations: int):
  """Power iteration on Hessian-vector products.

  Args:
    loss: params -> scalar.
    params: where the Hessian is taken.
    direction: the start, like params, not zero; a direction of an earlier call is a good one.
    num_iterations: Hessian-vector products to spend.

  Returns:
    The Rayleigh quotient at the last direction but one, and the last direction, of norm 1.
  """
  hvp = lambda v: jax.jvp(jax.grad(loss), (params,), (v,))[1]
  dot = lambda a, b: sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))
  unit = lambda v: jax.tree.map(lambda x: x / jnp.sqrt(dot(v, v)), v)

  def iteration(carry, _):
    v, _ = carry
    hv = hvp(v)
    return (unit(hv), dot(v, hv)), None

  start = unit(direction)
  (v, value), _ = jax.lax.scan(iteration, (start, dot(start, start)), length=num_iterations)
  return value, v


@dataclasses.dataclass(frozen=True, kw_only=True)
class EdgeOfStability(Study):
  """Trains a small tanh network by gradient descent and follows the largest eigenvalue of its Hessian.

  Attributes:
    learning_rates: one run for each.
    num_examples: the first digits of the set, which are the whole batch.
    widths: hidden units of each layer.
    steps: gradient steps.
    sharpness_every: steps between two measurements of the sharpness.
    power_iterations: Hessian-vector products of one measurement, started from the last direction.
    early_step: the loss at the end must lie below the loss at this step.
  """

  learning_rates: tuple[float, ...] = (0.2, 0.4)
  num_examples: int = 1_000
  widths: tuple[int, ...] = (64, 64)
  steps: int = 4_000
  sharpness_every: int = 100
  power_iterations: int = 40
  early_step: int = 500

  def __post_init__(self):
    if self.steps % self.sharpness_every or not 0 < self.early_step < self.steps:
      raise ValueError(f"steps={self.steps} must be a multiple of sharpness_every={self.sharpness_every} and more than "
                       f"early_step={self.early_step}")

  def objective(self, seed: int, data_dir=None):
    images, digits = load_digits()
    x = images[: self.num_examples].reshape(self.num_examples, -1)
    spread = x.std(axis=0)
    x = jnp.asarray((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1), jnp.float32)
    targets = jax.nn.one_hot(digits[: self.num_examples], 10)

    def loss(layers):
      h = x
      for k, layer in enumerate(layers):
        h = h @ layer["kernel"] + layer["bias"]
        h = jnp.tanh(h) if k < len(layers) - 1 else h
      return 0.5 * jnp.mean(jnp.sum((h - targets) ** 2, axis=1))

    sizes = (x.shape[1], *self.widths, 10)
    keys = jax.random.split(jax.random.key(seed), len(sizes) - 1)
    return loss, [{"kernel": jax.random.normal(key, (fan_in, fan_out)) / np.sqrt(fan_in), "bias": jnp.zeros(fan_out)}
                  for key, fan_in, fan_out in zip(keys, sizes, sizes[1:])]

  def measure(self, seed: int, parts: Parts) -> Findings:
    loss, initial = self.objective(seed)
    direction = jax.tree.map(lambda p: jax.random.normal(jax.random.key(seed + 1), p.shape), initial)

    @jax.jit
    def train(learning_rate):
      def step(params, _):
        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, grads), value

      def stretch(carry, _):
        params, direction = carry
        params, losses = jax.lax.scan(step, params, length=self.sharpness_every)
        sharpness, direction = largest_eigenvalue(loss, params, direction, self.power_iterations)
        return (params, direction), (losses, sharpness)

      num_stretches = self.steps // self.sharpness_every
      (params, _), (losses, sharpness) = jax.lax.scan(stretch, (initial, direction), length=num_stretches)
      return jnp.append(losses.ravel(), loss(params)), sharpness

    def run(rate):
      losses, sharpness = train(rate)
      keep = np.union1d(np.arange(0, self.steps + 1, max(self.steps // 150, 1)), [self.early_step, self.steps])
      return {"step": keep, "loss": losses[keep], "sharpness": sharpness}

    runs = parts.each("learning_rate", self.learning_rates, run)
    metrics, sharp_series, loss_series = {}, [], []
    at = np.arange(1, self.steps // self.sharpness_every + 1) * self.sharpness_every
    for rate, result in zip(self.learning_rates, runs):
      sharpness = np.asarray(result["sharpness"])
      loss_at = dict(zip(result["step"], result["loss"]))
      late = float(np.mean(sharpness[len(sharpness) // 2:]))
      metrics[f"sharpness_over_limit_{rate:g}"] = late * rate / 2
      metrics[f"late_over_early_loss_{rate:g}"] = loss_at[self.steps] / loss_at[self.early_step]
      for other in self.learning_rates:
        if other != rate:
          metrics[f"sharpness_{rate:g}_over_limit_{other:g}"] = late * other / 2
      sharp_series.append(Series(f"learning rate {rate:g}", at, sharpness))
      loss_series.append(Series(f"learning rate {rate:g}", result["step"], result["loss"]))
    return Findings(metrics=metrics, figures=(
        Figure(title="Sharpness", x_label="step", y_label="largest eigenvalue of the Hessian",
               series=tuple(sharp_series), marks=tuple(Mark("y", 2 / rate, f"2 / {rate:g}") for rate in self.learning_rates),
               caption="Each run's sharpness rises to 2 / learning rate and hovers there."),
        Figure(title="Training loss", x_label="step", y_label="loss", y_scale="log", series=tuple(loss_series),
               caption="The loss goes on falling, not monotonically, at the edge of stability.")))
