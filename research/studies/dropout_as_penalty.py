"""Dropout on the inputs of linear regression is an L2 penalty (Wager, Wang, Liang 2013).

Averaged over the masks m, (y - (m*x/(1-p))·w)² is (y - x·w)² + p/(1-p) Σ w²x²: exactly, since the loss is quadratic.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Series
from research.nn.dropout import dropout
from research.studies.base import Findings, Parts, Study


def penalized(w, x, y, rate: float):
  """The squared error with the paper's penalty, p/(1-p) Σ w²x²."""
  return (y - x @ w) ** 2 + rate / (1 - rate) * jnp.sum(w**2 * x**2)


def expected_over_masks(w, x, y, rate: float):
  """The squared error under dropout, averaged over all 2**d masks with their probabilities."""
  dim = len(x)
  masks = (jnp.arange(2**dim)[:, None] >> jnp.arange(dim)) & 1
  num_kept = masks.sum(axis=1)
  probability = (1 - rate) ** num_kept * rate ** (dim - num_kept)
  return probability @ (y - (masks * x / (1 - rate)) @ w) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class DropoutAsPenalty(Study):
  """Compares the penalty with the exact average over masks and with the dropout layer of `research.nn`.

  Attributes:
    input_dim: features; all 2**input_dim masks are summed.
    rate: probability p that a feature is dropped.
    samples: passes through the dropout layer.
  """

  input_dim: int = 10
  rate: float = 0.3
  samples: int = 100_000

  def __post_init__(self):
    if not 0 < self.rate < 1:
      raise ValueError(f"rate={self.rate} must be between 0 and 1")

  def _draw(self, seed: int):
    rng = np.random.default_rng(seed)
    w, x = jnp.asarray(rng.normal(size=(2, self.input_dim)))
    return w, x, float(rng.normal())

  def objective(self, seed: int, data_dir=None):
    w, x, y = self._draw(seed)
    return lambda w: expected_over_masks(w, x, y, self.rate), w

  def measure(self, seed: int, parts: Parts) -> Findings:
    del parts  # less than a second in all
    w, x, y = self._draw(seed)
    theory = float(penalized(w, x, y, self.rate))
    exact = float(expected_over_masks(w, x, y, self.rate))
    dropped = dropout(jnp.broadcast_to(x, (self.samples, self.input_dim)), self.rate, jax.random.key(seed))
    losses = np.asarray((y - dropped @ w) ** 2)
    error = lambda value: abs(losses.mean() - value) / (losses.std(ddof=1) / np.sqrt(self.samples))
    at = np.unique(np.geomspace(10, self.samples, 150).astype(int))
    running = np.cumsum(losses)[at - 1] / at
    return Findings(
        metrics={
            "identity_gap": abs(exact - theory),
            "layer_standard_errors": error(theory),
            "layer_standard_errors_p_not_odds": error((y - x @ w) ** 2 + self.rate * jnp.sum(w**2 * x**2)),
            "layer_standard_errors_no_penalty": error((y - x @ w) ** 2),
        },
        figures=(Figure(
            title="Loss under dropout against the penalised loss", x_label="samples of the dropout layer",
            y_label="|Monte Carlo mean − penalised loss|", x_scale="log", y_scale="log",
            series=(Series("dropout layer", at, np.maximum(np.abs(running - theory), 1e-12)),
                    Series("one standard error", at, losses.std(ddof=1) / np.sqrt(at), kind="theory")),
            caption="The mean over the layer's random masks goes to the penalised loss as one over the root of the samples."),))
