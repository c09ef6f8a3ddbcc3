"""Learning a sparse parity: a long plateau, then a sudden fall, and progress that the loss hides (Barak et al. 2022)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study


def margin(params, x_BD):
  """Output (B,) of one hidden ReLU layer."""
  hidden = jax.nn.relu(x_BD @ params["hidden"] + params["bias"])
  return hidden @ params["output"]


def hinge(params, x_BD, y_B):
  """Mean hinge loss for labels -1 and +1."""
  return jnp.mean(jax.nn.relu(1 - y_B * margin(params, x_BD)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseParity(Study):
  """Trains a small ReLU network by online SGD on the parity of the first few of many signs.

  Attributes:
    input_dim: signs in an input (n).
    parity_size: signs whose product is the label (k), the first of the input; the network does not know which.
    num_hidden: hidden ReLU units.
    learning_rate: of SGD.
    batch_size: fresh examples of a step.
    steps: steps at most.
    evaluate_every: steps between two measurements.
    num_test: examples of one measurement of the accuracy.
    early_step: the plateau must still hold here.
    shuffle_labels: draws the labels at random: nothing can be learnt.
  """

  input_dim: int = 50
  parity_size: int = 3
  num_hidden: int = 100
  learning_rate: float = 0.1
  batch_size: int = 32
  steps: int = 10_000
  evaluate_every: int = 250
  num_test: int = 5_000
  early_step: int = 1_000
  shuffle_labels: bool = False

  def __post_init__(self):
    if self.steps % self.evaluate_every or self.early_step % self.evaluate_every:
      raise ValueError(f"steps={self.steps} and early_step={self.early_step} must be multiples of "
                       f"evaluate_every={self.evaluate_every}")

  def _batch(self, key, num: int):
    x_key, y_key = jax.random.split(key)
    x = jax.random.rademacher(x_key, (num, self.input_dim), jnp.float32)
    y = jnp.prod(x[:, : self.parity_size], axis=1)
    return x, jnp.where(self.shuffle_labels, jax.random.rademacher(y_key, (num,), jnp.float32), y)

  def _initial(self, seed: int):
    """Uniform in ±1/√fan_in, as is the default of the common libraries."""
    keys = jax.random.split(jax.random.key(seed), 3)
    uniform = lambda key, fan_in, *shape: jax.random.uniform(key, shape, minval=-1, maxval=1) / np.sqrt(fan_in)
    return {"hidden": uniform(keys[0], self.input_dim, self.input_dim, self.num_hidden),
            "bias": uniform(keys[1], self.input_dim, self.num_hidden),
            "output": uniform(keys[2], self.num_hidden, self.num_hidden)}

  def objective(self, seed: int, data_dir=None):
    x, y = self._batch(jax.random.key(seed), 64)
    return lambda params: hinge(params, x, y), self._initial(seed)

  @functools.partial(jax.jit, static_argnames="self")
  def _train(self, params, key):
    """Accuracy and the weights' share on the parity's signs, each (steps / evaluate_every + 1,)."""
    x_test, y_test = self._batch(jax.random.fold_in(key, self.steps), self.num_test)

    def measured(params):
      squares = jnp.sum(params["hidden"] ** 2, axis=1)
      accuracy = jnp.mean(jnp.sign(margin(params, x_test)) == y_test)
      return accuracy, jnp.sum(squares[: self.parity_size]) / jnp.sum(squares)

    def step(params, t):
      grads = jax.grad(hinge)(params, *self._batch(jax.random.fold_in(key, t), self.batch_size))
      return jax.tree.map(lambda p, g: p - self.learning_rate * g, params, grads), None

    def stretch(params, t):
      params, _ = jax.lax.scan(step, params, t)
      return params, measured(params)

    steps = jnp.arange(self.steps).reshape(-1, self.evaluate_every)
    _, later = jax.lax.scan(stretch, params, steps)
    return jax.tree.map(lambda first, rest: jnp.append(first, rest), measured(params), later)

  def measure(self, seed: int, parts: Parts) -> Findings:
    accuracy, share = (np.asarray(v) for v in self._train(self._initial(seed), jax.random.key(seed + 1_000)))
    del parts  # seconds in all
    step = np.arange(len(accuracy)) * self.evaluate_every
    early = self.early_step // self.evaluate_every
    solved = step[accuracy >= 0.99]
    chance = self.parity_size / self.input_dim
    return Findings(
        metrics={"best_accuracy": float(accuracy.max()), "early_accuracy": float(accuracy[early]),
                 "steps_to_99": float(solved[0]) if len(solved) else float("inf"),
                 "hidden_progress": float(share[early] / share[0])},
        figures=(Figure(title="Accuracy", x_label="step", y_label="test accuracy", series=(Series("accuracy", step, accuracy),),
                        marks=(Mark("y", 0.99, "learnt"), Mark("x", self.early_step, "still on the plateau")),
                        caption="A plateau at chance, then a sudden rise."),
                 Figure(title="Hidden progress", x_label="step", y_label="share of the squared weights on the parity's signs",
                        series=(Series("share", step, share),), marks=(Mark("y", chance, "share at random"),),
                        caption="The weights turn to the relevant inputs long before the accuracy shows it.")))
