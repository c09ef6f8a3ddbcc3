"""A Transformer learns linear regression in context, about as well as least squares (Garg et al. 2022).

Shapes: B tasks, N examples of a task, D inputs, T = 2N−1 tokens.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.config import Duration
from research.figures import Figure, Mark, Series
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

_MODEL = transformer.Config(num_layers=3, max_length=64, block=BlockConfig(dim=64, num_heads=2, mlp_dim=256))


@jax.jit
def interleaved(x_BND, y_BN) -> jax.Array:
  """Tokens x₁, y₁, x₂, …, x_N (B, 2N−1, D), a target padded with zeros."""
  targets_BND = jnp.pad(y_BN[..., None], ((0, 0), (0, 0), (0, x_BND.shape[2] - 1)))
  return jnp.stack([x_BND, targets_BND], axis=2).reshape(len(x_BND), -1, x_BND.shape[2])[:, :-1]


def least_squares(x_BND, y_BN) -> np.ndarray:
  """Answers (B, N) to each input from the examples before it: the shortest w that fits them."""
  x_BND, y_BN = np.asarray(x_BND, np.float64), np.asarray(y_BN, np.float64)
  answers = np.zeros(y_BN.shape)
  for k in range(1, x_BND.shape[1]):
    w_BD = np.einsum("bdk,bk->bd", np.linalg.pinv(x_BND[:, :k]), y_BN[:, :k])
    answers[:, k] = np.einsum("bd,bd->b", w_BD, x_BND[:, k])
  return answers


@dataclasses.dataclass(frozen=True, kw_only=True)
class InContextLinearRegression(Study):
  """Trains a decoder on fresh linear functions and compares it with least squares after each number of examples.

  Attributes:
    num_inputs: inputs of a function, N(0, I), as are its weights.
    num_examples: examples in a sequence; the last is asked for, never shown.
    model: the network; it answers at the inputs.
    optimizer: of the network.
    batch_size: functions a step.
    steps: updates.
    evaluate_every: updates between two measurements.
    num_test: functions that are tested on.
  """

  num_inputs: int = 5
  num_examples: int = 11
  model: transformer.Config = _MODEL
  optimizer: Adam = Adam(learning_rate=1e-3, schedule=Cosine(warmup=Duration(2, "%")))
  batch_size: int = 64
  steps: int = 30_000
  evaluate_every: int = 1_000
  num_test: int = 4_000

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)

  @functools.partial(jax.jit, static_argnames=("self", "num"))
  def _tasks(self, key, num: int):
    keys = jax.random.split(key, 2)
    x = jax.random.normal(keys[0], (num, self.num_examples, self.num_inputs))
    return x, jnp.einsum("bnd,bd->bn", x, jax.random.normal(keys[1], (num, self.num_inputs)))

  def measure(self, seed: int, parts: Parts) -> Findings:
    inputs = jax.ShapeDtypeStruct((self.batch_size, 2 * self.num_examples - 1, self.num_inputs), jnp.float32)
    key = jax.random.key(seed + 1_000)
    x_test, y_test = self._tasks(jax.random.key(seed + 2_000), self.num_test)

    def run(_):
      network, params = scanned.build(self.model, inputs, 1, seed)

      def errors(params, x, y):
        return ((network(params)(interleaved(x, y))[:, ::2, 0] - y) ** 2).mean(0) / self.num_inputs

      loss = lambda params, step: errors(params, *self._tasks(jax.random.fold_in(key, step), self.batch_size)).mean()
      return scanned.train(loss, params, self.optimizer, steps=self.steps, every=self.evaluate_every,
                           measure=lambda params: {"error": errors(params, x_test, y_test)})[1]

    [found] = parts.each("seed", [seed], run)
    curve = np.asarray(found["error"])
    error, best = curve[-1], ((least_squares(x_test, y_test) - np.asarray(y_test)) ** 2).mean(0) / self.num_inputs
    seen, twice = np.arange(self.num_examples), 2 * self.num_inputs
    return Findings(
        metrics={f"error_{twice}": error[twice], "rises": np.sum(np.diff(error) > 0),
                 "below_least_squares": np.max(best - error), "untrained_error": curve[0][twice]},
        figures=(
            Figure("Error over examples seen", "examples in context", "squared error / inputs",
                   (Series("Transformer", seen, error), Series("least squares", seen, best, kind="theory")),
                   marks=(Mark("y", 0.05, "target at twice the inputs"), Mark("x", self.num_inputs, "as many as inputs")),
                   caption="Least squares is exact from as many examples as inputs on; the network follows it."),
            Figure("Error over training", "step", f"squared error / inputs, {twice} examples",
                   (Series("Transformer", found["step"], curve[:, twice]),), y_scale="log",
                   marks=(Mark("y", 0.05, "target"),))))
