"""The learning curve of a perceptron with Hebbian weights, against its closed form (Vallet 1989)."""

import dataclasses

import numpy as np

from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study


def predicted_error(alpha):
  """Generalisation error for alpha examples per weight, arccos(√(2α / (2α + π))) / π, as the dimension grows."""
  alpha = np.asarray(alpha, float)
  return np.arccos(np.sqrt(2 * alpha / (2 * alpha + np.pi))) / np.pi


def generalization_error(w, teacher) -> float:
  """Probability that two perceptrons disagree on an isotropic input: their angle over π."""
  return float(np.arccos(w @ teacher / np.linalg.norm(w) / np.linalg.norm(teacher)) / np.pi)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HebbianPerceptronCurve(Study):
  """Draws a teacher and examples, sums label times input, and compares the error over many ratios.

  Attributes:
    alphas: examples per weight.
    input_dim: weights.
    draws: teachers, each with its own examples.
  """

  alphas: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
  input_dim: int = 500
  draws: int = 10

  def _errors(self, seed: int, alpha: float) -> list[float]:
    rng = np.random.default_rng((seed, round(1_000 * alpha)))
    errors = []
    for _ in range(self.draws):
      teacher = rng.normal(size=self.input_dim)
      x = rng.normal(size=(round(alpha * self.input_dim), self.input_dim))
      errors.append(generalization_error(np.sign(x @ teacher) @ x, teacher))
    return errors

  def measure(self, seed: int, parts: Parts) -> Findings:
    errors = np.asarray(parts.each("alpha", self.alphas, lambda alpha: self._errors(seed, alpha))).mean(axis=1)
    alphas, theory = np.asarray(self.alphas), predicted_error(self.alphas)
    fine = np.geomspace(alphas.min(), alphas.max(), 100)
    return Findings(
        metrics={**{f"ratio_{a:g}": float(e / t) for a, e, t in zip(alphas, errors, theory)},
                 "largest_gap": float(np.max(np.abs(errors / theory - 1))),
                 "gap_of_inverse_root": float(np.max(np.abs(errors / (errors[0] * np.sqrt(alphas[0] / alphas)) - 1)))},
        figures=(Figure(
            title="Learning curve of the Hebbian perceptron", x_label="examples per weight α", y_label="error",
            x_scale="log", y_scale="log",
            series=(Series("measured", alphas, errors, kind="points"),
                    Series("arccos(√(2α/(2α+π)))/π", fine, predicted_error(fine), kind="theory")),
            caption="The measured error lies on the curve, which falls as one over the root of α only at its end."),))
