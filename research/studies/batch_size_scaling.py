"""Steps that stochastic gradient descent needs for a training loss, over the batch size."""

import dataclasses
import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from research.data.digits import load_digits
from research.figures import Figure, Series
from research.nn.initializers import initialize
from research.studies.base import Findings, Parts, Study


def loss(params, x, y):
  """Mean cross-entropy of a ReLU network; params are (kernel, bias) a layer, x (n, pixels), y (n,)."""
  *hidden, (kernel, bias) = params
  for w, b in hidden:
    x = jax.nn.relu(x @ w + b)
  logits = x @ kernel + bias
  return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSizeScaling(Study):
  """Trains at every batch size with every rate, and counts the steps of the best rate to a full training loss.

  Attributes:
    batch_sizes: examples a step.
    limits: steps to give up at, one for each batch size.
    rates: powers of two from the first to the last of these exponents.
    num_train: training examples, the first of scikit-learn's digits.
    num_hidden: units of the hidden layer.
    target_loss: loss over all training examples that counts as learnt.
    proportional: batch sizes up to here should need steps in inverse proportion.
    sampling: "epochs" shuffles all examples, then again; "replacement" draws each example anew.
  """

  batch_sizes: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
  limits: tuple[int, ...] = (30_000, 12_000, 4_000, 2_000, 1_000, 1_000)
  rates: tuple[int, int] = (-6, 3)
  num_train: int = 1_536
  num_hidden: int = 64
  target_loss: float = 0.1
  proportional: int = 16
  sampling: Literal["epochs", "replacement"] = "epochs"

  def __post_init__(self):
    if len(self.batch_sizes) != len(self.limits):
      raise ValueError(f"limits={self.limits}: give one for each of the {len(self.batch_sizes)} batch sizes")
    if min(self.batch_sizes) > self.proportional:
      raise ValueError(f"batch_sizes={self.batch_sizes}: none is in proportional={self.proportional}")

  def _problem(self, seed: int):
    images, digits = load_digits()
    x = jnp.asarray(images[:self.num_train].reshape(self.num_train, -1) / 16)
    sizes = x.shape[1], self.num_hidden, 10
    keys = jax.random.split(jax.random.key(seed), 2)
    params = [(initialize("he_normal", key, (fan_in, fan_out), x.dtype, fan_in=fan_in, fan_out=fan_out), jnp.zeros(fan_out))
              for key, fan_in, fan_out in zip(keys, sizes, sizes[1:])]
    return params, x, jnp.asarray(digits[:self.num_train])

  def objective(self, seed: int, data_dir=None):
    params, x, y = self._problem(seed)
    return lambda params: loss(params, x, y), params

  def _steps(self, seed: int, batch_size: int) -> list[float]:
    """Steps of the best rate (infinite if none gets there within the limit), and its exponent.

    All rates go on together, over the same batches, until one is there: it is the best.
    """
    params, x, y = self._problem(seed)
    exponents = jnp.arange(self.rates[0], self.rates[1] + 1)
    rates = 2.0**exponents
    limit = self.limits[self.batch_sizes.index(batch_size)]
    order = self._order(np.random.default_rng((seed, batch_size)), limit * batch_size).reshape(limit, batch_size)
    step, losses = _search(params, rates, x, y, jnp.asarray(order), self.target_loss)
    best = int(jnp.nanargmin(losses))
    return [float(step) if losses[best] < self.target_loss else math.inf, float(exponents[best])]

  def _order(self, rng: np.random.Generator, count: int) -> np.ndarray:
    """Examples (count,) in the order they are learnt from; batches may straddle two epochs."""
    if self.sampling == "replacement":
      return rng.integers(0, self.num_train, count)
    epochs = math.ceil(count / self.num_train)
    return np.concatenate([rng.permutation(self.num_train) for _ in range(epochs)])[:count]

  def measure(self, seed: int, parts: Parts) -> Findings:
    found = np.array(parts.each("batch_size", self.batch_sizes, lambda batch_size: self._steps(seed, batch_size)))
    metrics = {f"steps_{batch_size}": steps for batch_size, (steps, _) in zip(self.batch_sizes, found)}
    metrics |= {f"rate_exponent_{batch_size}": rate for batch_size, (_, rate) in zip(self.batch_sizes, found)}
    return Findings(metrics=metrics, figures=(self._figure(found[:, 0]),))

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    sizes = np.array(self.batch_sizes)
    steps = np.array([np.median([f.metrics[f"steps_{size}"] for f in findings.values()]) for size in sizes])
    examples = steps * sizes
    small = examples[sizes <= self.proportional]
    edges = {f.metrics[f"rate_exponent_{size}"] for f in findings.values() for size in sizes} & set(self.rates)
    return Findings(
        metrics={"proportional_spread": small.max() / small.min(), "spread_over_all": examples.max() / examples.min(),
                 "floor": steps[-1] / steps[-2], "rates_at_the_edge": len(edges)},
        notes=("Median steps over the seeds: " + ", ".join(f"{s:.0f} at {b}" for b, s in zip(sizes, steps)) + ".",
               f"Batches of {sizes[0]} are done after {examples[0] / self.num_train:.1f} passes over the data. Within one pass "
               "no example comes twice, which favours the smallest batches: sampling=replacement takes that away.",
               "One loss, one network, one data set (scikit-learn's digits): the claim of three regimes is tested."))

  def _figure(self, steps) -> Figure:
    sizes = np.array(self.batch_sizes)
    return Figure("Steps to the target loss", "batch size", "steps",
                  (Series("best rate", sizes, steps),
                   Series("perfect scaling", sizes, steps[0] * sizes[0] / sizes, kind="theory")),
                  caption="Along the dashed line twice the batch halves the steps; then less and less; then nothing.",
                  x_scale="log", y_scale="log")


@functools.partial(jax.jit, static_argnames="target")
def _search(params, rates, x, y, order, target):
  """Trains with all rates (k,) at once, until one loss over all of x is below the target. Returns steps and losses (k,)."""

  def train(params, rate, batch):
    gradient = jax.grad(loss)(params, x[batch], y[batch])
    params = jax.tree.map(lambda p, g: p - rate * g, params, gradient)
    return params, loss(params, x, y)

  def body(carry):
    step, params, _ = carry
    params, losses = jax.vmap(train, in_axes=(0, 0, None))(params, rates, order[step])
    return step + 1, params, losses

  going = lambda carry: (carry[0] < len(order)) & ~jnp.any(carry[2] < target)
  everywhere = jax.tree.map(lambda p: jnp.broadcast_to(p, (len(rates), *p.shape)), params)
  step, _, losses = jax.lax.while_loop(going, body, (0, everywhere, jnp.full(len(rates), jnp.inf)))
  return step, losses
