"""Linear self-attention, trained to regress in context, does one step of gradient descent (von Oswald et al. 2023).

Shapes: B tasks, N examples of a task, D inputs. A token holds an input and its target, D+1 numbers.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Mark, Series
from research.optimizers.adam import Adam
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

MATRICES = ("query", "key", "value", "out")


@jax.jit
def attend(params, tokens_BND) -> jax.Array:
  """Answers (B,) of one layer of linear self-attention: what is added to the target's entry of the last token.

  params: four matrices; token j attends to all tokens i with the weight (K eᵢ)·(Q eⱼ), no softmax, and adds out·V eᵢ.
  """
  moments = jnp.einsum("bni,bnj->bij", tokens_BND, tokens_BND)
  asked = tokens_BND[:, -1] @ (params["query"].T @ params["key"])
  return jnp.einsum("i,bij,bj->b", params["out"][-1] @ params["value"], moments, asked)


def construction(num_inputs: int, rate: float) -> dict[str, np.ndarray]:
  """The paper's weights (proposition 1, from zero): queries and keys see the input, values the target."""
  inputs, target = np.diag([1.0] * num_inputs + [0.0]), np.diag([0.0] * num_inputs + [1.0])
  return {"query": inputs, "key": inputs, "value": target, "out": rate * np.eye(num_inputs + 1)}


@jax.jit
def descent(tokens_BND, rate: float) -> jax.Array:
  """Answers (B,) of w = rate·Σ yᵢ xᵢ, a step of gradient descent from zero on ½Σ(yᵢ − w·xᵢ)²."""
  x, y, query = tokens_BND[:, :-1, :-1], tokens_BND[:, :-1, -1], tokens_BND[:, -1, :-1]
  return rate * jnp.einsum("bn,bnd,bd->b", y, x, query)


def best_rate(num_examples: int, num_inputs: int) -> float:
  """The step size of least expected loss, for x uniform in ±1 and w ~ N(0, I); from moments up to the fourth."""
  n, d = num_examples, num_inputs
  fourth = d / 5 + d * (d - 1) / 9  # E|x|⁴
  return (n * d / 9) / (n * fourth / 3 + n * (n - 1) * d / 27)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InContextGradientDescent(Study):
  """Trains one layer of linear self-attention on fresh regression tasks.

  Attributes:
    num_inputs: inputs of a task (D).
    num_examples: examples of a task (N).
    init_deviation: the four matrices are N(0, ·²) at first.
    optimizer: of the four matrices.
    batch_size: tasks a step.
    steps: updates.
    evaluate_every: updates between two measurements.
    num_test: tasks that are tested on.
  """

  num_inputs: int = 10
  num_examples: int = 10
  init_deviation: float = 0.02
  optimizer: Adam = Adam(learning_rate=1e-3, clip_norm=0.1)
  batch_size: int = 512
  steps: int = 5_000
  evaluate_every: int = 100
  num_test: int = 20_000

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)

  @functools.partial(jax.jit, static_argnames=("self", "num"))
  def _tasks(self, key, num: int):
    """Tokens (num, N+1, D+1), the last with target 0; and what that target is (num,)."""
    x_key, w_key = jax.random.split(key)
    x = jax.random.uniform(x_key, (num, self.num_examples + 1, self.num_inputs), float, -1, 1)
    y = jnp.einsum("bnd,bd->bn", x, jax.random.normal(w_key, (num, self.num_inputs), float))
    return jnp.concatenate([x, y.at[:, -1].set(0)[..., None]], axis=2), y[:, -1]

  def _loss(self, key):
    def loss(params, step):
      tokens, y = self._tasks(jax.random.fold_in(key, step), self.batch_size)
      return 0.5 * jnp.mean((attend(params, tokens) - y) ** 2)

    return loss

  def _initial(self, seed: int):
    size = self.num_inputs + 1
    return {name: self.init_deviation * jax.random.normal(key, (size, size), float)
            for name, key in zip(MATRICES, jax.random.split(jax.random.key(seed), len(MATRICES)))}

  def objective(self, seed: int, data_dir=None):
    loss = self._loss(jax.random.key(seed))
    return lambda params: loss(params, 0), jax.tree.map(lambda p: 10 * p, self._initial(seed))

  def measure(self, seed: int, parts: Parts) -> Findings:
    del parts  # seconds
    tokens, y = self._tasks(jax.random.key(seed + 2_000), self.num_test)
    error = lambda answers: 0.5 * jnp.mean((answers - y) ** 2)
    rate = best_rate(self.num_examples, self.num_inputs)
    step = descent(tokens, rate)
    half = float(error(descent(tokens, rate / 2)) / error(step))
    _, curves = scanned.train(self._loss(jax.random.key(seed + 1_000)), self._initial(seed), self.optimizer, steps=self.steps,
                              every=self.evaluate_every, measure=lambda params: params)

    def measured(params):
      answers = attend(params, tokens)
      return error(answers) / error(step), jnp.mean((answers - step) ** 2) / jnp.mean(step**2)

    ratio, difference = np.array([measured({name: curves[name][k] for name in MATRICES}) for k in range(len(curves["step"]))]).T
    built = float(error(attend(construction(self.num_inputs, rate), tokens)) / error(step))
    return Findings(
        metrics={"loss_over_descent": ratio[-1], "untrained_over_descent": ratio[0], "half_rate_over_descent": half,
                 "construction_over_descent": built, "difference": difference[-1]},
        figures=(
            Figure("Loss of the trained layer", "step", "loss / loss of the best gradient step",
                   (Series("linear self-attention", curves["step"], ratio),), y_scale="log",
                   marks=(Mark("y", 1.0, "one step of gradient descent"), Mark("y", half, "half the best rate")),
                   caption="Training ends at the loss of one step of gradient descent, and does not pass it."),
            Figure("Its answers", "step", "squared difference of the answers, over the step's square",
                   (Series("attention − gradient step", curves["step"], difference),), y_scale="log",
                   caption="Not only the loss: the answers themselves become those of the gradient step.")))
