"""What one training example does to one prediction: the influence function against training without the example."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.data.digits import load_digits
from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study


def losses(weights, x, y):
  """Cross-entropy of each example: weights (features, classes), x (n, features), y (n,) class numbers."""
  logits = x @ weights
  return jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfluenceFunctions(Study):
  """Softmax regression on some digits; the change of one test loss, predicted and retrained.

  Attributes:
    classes: the digits to tell apart.
    num_train: training examples; the test example comes from the others.
    weight_decay: factor of half the squared weights.
    newton_steps: Newton steps of every training.
    num_removed: how many examples, those of largest predicted influence, are left out one at a time.
    chunk: retrainings in one saved part.
  """

  classes: tuple[int, ...] = (1, 3, 7, 9)
  num_train: int = 500
  weight_decay: float = 0.01
  newton_steps: int = 8
  num_removed: int = 60
  chunk: int = 10

  def _problem(self, seed: int):
    """Training and other examples, ((n, 65), (n,)) each: pixels over 16 and a column of ones, class numbers."""
    images, digits = load_digits()
    chosen = np.flatnonzero(np.isin(digits, self.classes))
    chosen = np.random.default_rng(seed).permutation(chosen)
    x = np.concatenate([images[chosen].reshape(len(chosen), -1) / 16, np.ones((len(chosen), 1))], axis=1)
    y = np.searchsorted(np.sort(self.classes), digits[chosen])
    split = self.num_train
    return (jnp.asarray(x[:split]), jnp.asarray(y[:split])), (jnp.asarray(x[split:]), jnp.asarray(y[split:]))

  def _risk(self, weights, x, y, kept):
    """Regularised mean loss. The mean stays over all n examples when one is left out, as the theory has it."""
    weights = weights.reshape(x.shape[1], len(self.classes))
    return kept @ losses(weights, x, y) / self.num_train + 0.5 * self.weight_decay * jnp.sum(weights**2)

  def objective(self, seed: int, data_dir=None):
    (x, y), _ = self._problem(seed)
    return lambda weights: self._risk(weights, x, y, jnp.ones(len(y))), jnp.zeros(x.shape[1] * len(self.classes))

  def measure(self, seed: int, parts: Parts) -> Findings:
    (x, y), (x_rest, y_rest) = self._problem(seed)
    hessian, gradient = jax.hessian(self._risk), jax.grad(self._risk)
    shape = x.shape[1], len(self.classes)

    @jax.jit
    def train(kept):
      """Weights (features x classes,) from zero by Newton's method, with examples weighted by `kept`; |gradient| left."""
      step = lambda _, w: w - jnp.linalg.solve(hessian(w, x, y, kept), gradient(w, x, y, kept))
      weights = jax.lax.fori_loop(0, self.newton_steps, step, jnp.zeros(shape[0] * shape[1]))
      return weights, jnp.max(jnp.abs(gradient(weights, x, y, kept)))

    weights, left = train(jnp.ones(len(y)))
    rest_losses = losses(weights.reshape(shape), x_rest, y_rest)
    hardest = int(jnp.argmax(rest_losses))
    test_loss = lambda w: losses(w.reshape(shape), x_rest[hardest:hardest + 1], y_rest[hardest:hardest + 1])[0]
    per_example = jax.jacrev(lambda w: losses(w.reshape(shape), x, y))(weights)
    test_gradient = jax.grad(test_loss)(weights)
    influence = per_example @ jnp.linalg.solve(hessian(weights, x, y, jnp.ones(len(y))), test_gradient) / len(y)
    without_hessian = per_example @ test_gradient / len(y)
    removed = np.argsort(-np.abs(influence))[:self.num_removed]

    def retrain(part: int) -> list[list[float]]:
      found = [train(jnp.ones(len(y)).at[i].set(0)) for i in removed[part * self.chunk:(part + 1) * self.chunk]]
      return [[float(test_loss(w) - test_loss(weights)), float(left)] for w, left in found]

    found = parts.each("removed", range(-(-self.num_removed // self.chunk)), retrain)
    actual, lefts = np.concatenate(found).T
    predicted = np.asarray(influence)[removed]
    shuffled = np.random.default_rng(seed).permutation(actual)
    correlation = lambda values: float(np.corrcoef(values, actual)[0, 1])
    limits = [min(predicted.min(), actual.min()), max(predicted.max(), actual.max())]
    return Findings(
        metrics={"pearson": correlation(predicted), "slope": float(np.polyfit(predicted, actual, 1)[0]),
                 "pearson_without_hessian": correlation(np.asarray(without_hessian)[removed]),
                 "pearson_shuffled": float(np.corrcoef(predicted, shuffled)[0, 1]),
                 "gradient_left": max(float(left), float(lefts.max()))},
        figures=(Figure(
            "Influence against retraining", "predicted change of the test loss", "change after retraining without the example",
            (Series("training examples", predicted, actual, kind="points"),
             Series("equal", limits, limits, kind="theory")),
            caption="Each point is one training example: on the line the influence function is exact."),),
        notes=(f"Test example: the hardest of {len(y_rest)}, loss {float(rest_losses[hardest]):.2f} in seed {seed}. The data "
               "are scikit-learn's digits, the paper's were ten-class MNIST: the claim is tested, no number is compared.",))
