"""Wide networks train as their first-order Taylor expansion does (Lee, Xiao et al. 2019)."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study


def network(kernels, x_BD, gain: float):
  """Outputs (B,) of tanh layers in the NTK parametrisation: x @ kernel * gain / sqrt(fan_in), no bias."""
  for k, kernel in enumerate(kernels):
    x_BD = x_BD @ kernel * (gain / np.sqrt(kernel.shape[0]))
    x_BD = jnp.tanh(x_BD) if k < len(kernels) - 1 else x_BD
  return x_BD[:, 0]


def linearized(f, at):
  """The first-order Taylor expansion of params -> f(params) around `at`, as a function of params."""
  def expansion(params):
    value, change = jax.jvp(f, (at,), (jax.tree.map(jnp.subtract, params, at),))
    return value + change

  return expansion


def train_linearized(f, at, y_B, learning_rate: float, steps: int):
  """Parameters of `linearized(f, at)` after gradient descent from `at` on half the mean squared error to y_B.

  The gradient is J^T r / B with a Jacobian J that does not change, so the residuals r follow r <- r - rate J J^T r / B
  by themselves and the parameters need only their sum: the same descent, without touching the parameters at each step.
  """
  outputs, pull = jax.vjp(f, at)
  push = lambda change: jax.jvp(f, (at,), (change,))[1]
  kernel_BB = jax.lax.map(lambda unit: push(pull(unit)[0]), jnp.eye(len(y_B)))
  step = lambda residual, _: (residual - learning_rate / len(y_B) * (kernel_BB @ residual), residual)
  _, residuals = jax.lax.scan(step, outputs - y_B, length=steps)
  return jax.tree.map(lambda p, g: p - learning_rate / len(y_B) * g, at, pull(residuals.sum(axis=0))[0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class WideNetworksLinearize(Study):
  """Trains networks of several widths and their linearisations, and compares both on test points.

  Attributes:
    widths: of the two hidden layers; one pair of runs for each.
    num_train: training points.
    num_test: points the two models are compared on.
    input_dim: dimension of the sphere of radius sqrt(input_dim) that points are drawn from.
    gain: standard deviation of a weight times sqrt(fan_in).
    learning_rate: of full-batch gradient descent on half the mean squared error.
    steps: gradient steps.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512, 1_024, 2_048)
  num_train: int = 20
  num_test: int = 50
  input_dim: int = 10
  gain: float = 1.5
  learning_rate: float = 1.0
  steps: int = 200

  def __post_init__(self):
    if len(set(self.widths)) < 2:
      raise ValueError(f"widths={self.widths}: a slope needs two different widths")

  def _points(self, seed: int):
    """Train and test inputs, (B, D), on the sphere, with labels sign(x1 x2)."""
    x = np.random.default_rng(seed).normal(size=(self.num_train + self.num_test, self.input_dim))
    x *= np.sqrt(self.input_dim) / np.linalg.norm(x, axis=1, keepdims=True)
    y = np.sign(x[:, 0] * x[:, 1])
    return jnp.asarray(x[: self.num_train], jnp.float32), jnp.asarray(y[: self.num_train], jnp.float32), jnp.asarray(
        x[self.num_train:], jnp.float32)

  def _initial(self, seed: int, width: int):
    sizes = (self.input_dim, width, width, 1)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), width), 3)
    return [jax.random.normal(key, shape) for key, shape in zip(keys, itertools.pairwise(sizes))]

  def objective(self, seed: int, data_dir=None):
    x, y, _ = self._points(seed)
    loss = lambda kernels: 0.5 * jnp.mean((network(kernels, x, self.gain) - y) ** 2)
    return loss, self._initial(seed, self.widths[0])

  @functools.partial(jax.jit, static_argnames="self")
  def _compare(self, x, y, x_test, initial):
    """Test outputs of the network and of its linearisation after training, and of both before."""
    f, f_test = (lambda kernels, inputs=inputs: network(kernels, inputs, self.gain) for inputs in (x, x_test))
    loss = lambda kernels: 0.5 * jnp.mean((f(kernels) - y) ** 2)
    descend = lambda p, g: p - self.learning_rate * g
    kernels, _ = jax.lax.scan(lambda k, _: (jax.tree.map(descend, k, jax.grad(loss)(k)), None), initial, length=self.steps)
    linear_kernels = train_linearized(f, initial, y, self.learning_rate, self.steps)
    return {"network": f_test(kernels), "linear": linearized(f_test, initial)(linear_kernels), "start": f_test(initial)}

  def measure(self, seed: int, parts: Parts) -> Findings:
    points = self._points(seed)

    def run(width):
      result = self._compare(*points, self._initial(seed, width))
      rms = lambda v: jnp.sqrt(jnp.mean(v**2))
      return {"rmse": rms(result["network"] - result["linear"]), "moved": rms(result["network"] - result["start"])}

    results = parts.each("width", self.widths, run)
    column = lambda name: np.array([float(r[name]) for r in results])
    widths, rmse = np.asarray(self.widths, float), column("rmse")
    slope, intercept = np.polyfit(np.log(widths), np.log(rmse), 1)
    middle = np.exp(np.mean(np.log(widths)))
    reference = lambda power: np.exp(intercept) * middle**slope * (widths / middle) ** power
    return Findings(
        metrics={"slope": float(slope), **{f"rmse_{w}": float(r) for w, r in zip(self.widths, rmse)},
                 "least_moved": float(column("moved").min())},
        figures=(Figure(
            title="Network against its linearisation", x_label="width", y_label="RMSE on test points",
            x_scale="log", y_scale="log",
            series=(Series("measured", widths, rmse),
                    Series("width^-1/2 (proved)", widths, reference(-0.5), kind="theory"),
                    Series("width^-1", widths, reference(-1.0), kind="theory")),
            marks=(Mark("y", 0.01, "limit at the largest width"),),
            caption="After the same training the two models differ nearly as 1 / width."),))
