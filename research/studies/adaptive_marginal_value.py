"""A separable problem that gradient descent generalises on and Adam does not (Wilson et al. 2017).

The label is the first feature; two features are constant; every example owns five more that no other example has. The
smallest solution, which gradient descent finds, leans on the first feature. Adam moves every weight by about the same
amount, so on unseen examples it answers the sign of the sum over labels: always the majority.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study

METHODS = ("gd", "adam")
_SHARED, _OWN = 3, 5  # features all examples have, features of one example


def labels(rng: np.random.Generator, num: int, positive_share: float) -> np.ndarray:
  """`num` labels, each +1 with probability `positive_share`, else -1."""
  return np.where(rng.random(num) < positive_share, 1.0, -1.0)


def features(y: np.ndarray, *, seen: bool) -> np.ndarray:
  """Features (n, 3 + 5n) of examples with labels y; those of unseen examples (n, 3): their own have no weight."""
  shared = np.stack([y, np.ones_like(y), np.ones_like(y)], axis=1)
  if not seen:
    return shared
  own = np.where(y[:, None] > 0, np.eye(_OWN)[0], 1.0)
  block = np.eye(len(y))[:, :, None] * own[:, None, :]
  return np.concatenate([shared, block.reshape(len(y), -1)], axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveMarginalValue(Study):
  """Least squares by gradient descent and by Adam, and the accuracy of both on fresh labels.

  Attributes:
    positive_shares: probabilities of the label +1; one problem for each.
    num_train: examples to learn from.
    num_test: fresh labels.
    adam_rate: of Adam's step rate / sqrt(t); gradient descent steps by n / ||X||^2.
    steps: full-batch steps.
  """

  positive_shares: tuple[float, ...] = (0.55, 0.75)
  num_train: int = 200
  num_test: int = 5_000
  adam_rate: float = 0.01
  steps: int = 20_000

  def __post_init__(self):
    if not all(0.5 < p < 1 for p in self.positive_shares):
      raise ValueError(f"positive_shares={self.positive_shares}: the majority must be +1, each between 0.5 and 1")

  def _draw(self, seed: int, positive_share: float):
    rng = np.random.default_rng((seed, int(1_000 * positive_share)))
    y = labels(rng, self.num_train, positive_share)
    return features(y, seen=True), y, labels(rng, self.num_test, positive_share)

  def objective(self, seed: int, data_dir=None):
    x, y, _ = self._draw(seed, self.positive_shares[0])
    x, y = jnp.asarray(x), jnp.asarray(y)
    return lambda w: 0.5 * jnp.mean((x @ w - y) ** 2), jax.random.normal(jax.random.key(seed), x.shape[1:], x.dtype)

  def _train(self, x, y):
    """Weights (2, features) and training errors (2,) of `METHODS`."""
    adam = optax.adam(lambda count: self.adam_rate / jnp.sqrt(count + 1.0))
    gd_rate = len(y) / jnp.linalg.norm(x, 2) ** 2
    x_t = x.T  # a copy outside the loop: the product with a transposed view is many times slower on CPU
    gradient = lambda w: x_t @ (x @ w - y) / len(y)

    def step(carry, _):
      w_gd, w_adam, adam_state = carry
      adam_step, adam_state = adam.update(gradient(w_adam), adam_state)
      return (w_gd - gd_rate * gradient(w_gd), w_adam + adam_step, adam_state), None

    zero = jnp.zeros(x.shape[1], x.dtype)
    (w_gd, w_adam, _), _ = jax.lax.scan(step, (zero, zero, adam.init(zero)), length=self.steps)
    w = jnp.stack([w_gd, w_adam])
    return w, jnp.mean((w @ x.T - y) ** 2, axis=1)

  def measure(self, seed: int, parts: Parts) -> Findings:
    def run(share):
      x, y, y_test = self._draw(seed, share)
      w, errors = jax.jit(self._train)(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
      answers = np.where(features(y_test, seen=False) @ np.asarray(w[:, :_SHARED]).T > 0, 1.0, -1.0)
      return {"accuracy": np.mean(answers == y_test[:, None], axis=0), "train_mse": errors}

    metrics, accuracies = {}, []
    for share, result in zip(self.positive_shares, parts.each("share", self.positive_shares, run)):
      accuracies.append(result["accuracy"])
      for k, method in enumerate(METHODS):
        metrics[f"{method}_accuracy_{share:g}"] = float(result["accuracy"][k])
        metrics[f"{method}_train_mse_{share:g}"] = float(result["train_mse"][k])
    shares, accuracies = np.asarray(self.positive_shares), np.asarray(accuracies)
    lines = [Series(label, shares, accuracies[:, k]) for k, label in enumerate(("gradient descent", "Adam"))]
    majority = Series("always the majority", shares, shares, kind="theory")
    return Findings(metrics=metrics, figures=(
        Figure(title="Accuracy on unseen examples", x_label="probability p of the label +1", y_label="test accuracy",
               series=(*lines, majority),
               caption="Both fit the training set. Adam only ever answers the majority label."),))
