"""The risk of minimum-norm least squares below and beyond interpolation (Hastie et al. 2022)."""

import dataclasses

import jax
import jax.scipy.linalg
import numpy as np

from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study


def predicted_risk(gamma, signal: float, noise: float):
  """Limit of the risk E|b - beta|² for isotropic features, as n and p = gamma n grow.

  Args:
    gamma: features per example, not 1.
    signal: r² = |beta|².
    noise: variance of the labels' noise, sigma².
  """
  gamma = np.asarray(gamma, float)
  over = signal * (1 - 1 / gamma) + noise / (gamma - 1)
  return np.where(gamma < 1, noise * gamma / (1 - gamma), over)


@jax.jit
def min_norm(x_NP, y_N):
  """The least-squares solution (P,) of smallest norm, for x of full rank, by the smaller of the two Gram matrices."""
  num, dim = x_NP.shape
  if dim <= num:
    return jax.scipy.linalg.solve(x_NP.T @ x_NP, x_NP.T @ y_N, assume_a="pos")
  return x_NP.T @ jax.scipy.linalg.solve(x_NP @ x_NP.T, y_N, assume_a="pos")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RidgelessRisk(Study):
  """Draws regression problems at several ratios of features to examples and compares the risk with its limit.

  Attributes:
    gammas: features per example.
    num_examples: n; the number of features is the nearest whole number to gamma n.
    signal: squared norm of the true coefficients.
    noise: variance of the noise.
    draws: problems for each ratio.
  """

  gammas: tuple[float, ...] = (0.1, 0.2, 0.5, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
  num_examples: int = 200
  signal: float = 5.0
  noise: float = 1.0
  draws: int = 20

  def __post_init__(self):
    if any(round(g * self.num_examples) in (0, self.num_examples) for g in self.gammas):
      raise ValueError(f"gammas={self.gammas}: with {self.num_examples} examples each must give at least one feature, and "
                       f"not {self.num_examples}, where the risk has no limit")

  def _risk(self, seed: int, num_features: int) -> float:
    """Mean over the draws of |b - beta|²."""
    rng = np.random.default_rng((seed, num_features))
    risks = []
    for _ in range(self.draws):
      beta = rng.normal(size=num_features)
      beta *= np.sqrt(self.signal) / np.linalg.norm(beta)
      x = rng.normal(size=(self.num_examples, num_features))
      y = x @ beta + np.sqrt(self.noise) * rng.normal(size=self.num_examples)
      risks.append(np.sum((min_norm(x, y) - beta) ** 2))
    return float(np.mean(risks))

  def measure(self, seed: int, parts: Parts) -> Findings:
    risk = lambda gamma: self._risk(seed, round(gamma * self.num_examples))
    gammas, means = np.asarray(self.gammas), np.asarray(parts.each("gamma", self.gammas, risk))
    metrics = {f"ratio_{g:g}": float(m / predicted_risk(g, self.signal, self.noise)) for g, m in zip(gammas, means)}
    for g, m in zip(gammas, means):
      if g >= 2:
        metrics[f"variance_only_ratio_{g:g}"] = float(m * (g - 1) / self.noise)
        metrics[f"classical_ratio_{g:g}"] = float(m * (1 - g) / (g * self.noise))
    below, above = np.geomspace(gammas.min(), 0.97, 80), np.geomspace(1.03, gammas.max(), 80)
    theory = lambda at, label: Series(label, at, predicted_risk(at, self.signal, self.noise), kind="theory")
    return Findings(metrics=metrics, figures=(Figure(
        title="Risk of minimum-norm least squares", x_label="features per example γ", y_label="risk |b − β|²",
        x_scale="log", y_scale="log",
        series=(Series("measured", gammas, means, kind="points"), theory(below, "theory, γ < 1"),
                theory(above, "theory, γ > 1")),
        marks=(Mark("x", 1.0, "interpolation"), Mark("y", self.signal, "risk of predicting zero")),
        caption="The risk explodes where features equal examples and falls again beyond it, along its limit."),))
