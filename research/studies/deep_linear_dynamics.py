"""Learning in a linear network, mode by mode, against its exact solution (Saxe, McClelland, Ganguli 2014)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study


def hierarchy(depth: int) -> np.ndarray:
  """Features (2**(depth+1)-1, 2**depth): feature k of item i is 1 where leaf i lies below node k of a binary tree."""
  items = 2**depth
  return np.concatenate([np.kron(np.eye(2**level), np.ones(items // 2**level)) for level in range(depth + 1)])


def mode_strength(t, s, u0: float, tau: float, exponent: float = 2.0):
  """u(t) = s e^{2st/tau} / (e^{2st/tau} - 1 + s/u0), the paper's solution for one mode.

  Args:
    t: steps.
    s: singular value of the input-output correlation.
    u0: strength at t = 0.
    tau: 1 / learning rate.
    exponent: 2 in the paper.
  """
  decay = np.exp(-exponent * s * t / tau)
  return s / (1 - decay + s / u0 * decay)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepLinearDynamics(Study):
  """Trains a two-layer linear network from balanced, decoupled weights and compares each mode with the formula.

  Attributes:
    tree_depth: levels of the binary tree below its root; 2**tree_depth items.
    num_hidden: hidden units.
    initial_strength: strength of every mode at the start (u0).
    learning_rate: of full-batch gradient descent; the formula's tau is its inverse.
    steps: gradient steps.
  """

  tree_depth: int = 3
  num_hidden: int = 16
  initial_strength: float = 1e-3
  learning_rate: float = 0.005
  steps: int = 4_000

  def __post_init__(self):
    if self.num_hidden < 2**self.tree_depth:
      raise ValueError(f"num_hidden={self.num_hidden} must be at least the number of items, {2**self.tree_depth}")

  def _problem(self):
    """Inputs (items, items) with covariance 1, targets (features, items), and the SVD of their correlation."""
    y = hierarchy(self.tree_depth)
    items = y.shape[1]
    x = np.sqrt(items) * np.eye(items)
    return x, y, np.linalg.svd(y @ x.T / items, full_matrices=False)

  def _loss(self, params):
    x, y, _ = self._problem()
    return 0.5 * jnp.mean(jnp.sum((y - params["output"] @ params["hidden"] @ x) ** 2, axis=0))

  def _initial(self, seed: int, balanced: bool):
    _, y, (u, _, vt) = self._problem()
    rng = np.random.default_rng(seed)
    scale = np.sqrt(self.initial_strength)
    rotation = np.linalg.qr(rng.normal(size=(self.num_hidden, y.shape[1])))[0]
    if balanced:
      return {"hidden": jnp.asarray(scale * rotation @ vt), "output": jnp.asarray(scale * u @ rotation.T)}
    return {"hidden": jnp.asarray(scale / np.sqrt(y.shape[1]) * rng.normal(size=(self.num_hidden, y.shape[1]))),
            "output": jnp.asarray(scale / np.sqrt(self.num_hidden) * rng.normal(size=(y.shape[0], self.num_hidden)))}

  def objective(self, seed: int, data_dir=None):
    return self._loss, self._initial(seed, balanced=False)

  def _train(self, params) -> np.ndarray:
    """Strength of every mode before each step and after the last: (steps + 1, modes)."""
    _, _, (u, _, vt) = self._problem()
    strength = lambda p: jnp.sum((u.T @ p["output"]) * (p["hidden"] @ vt.T).T, axis=1)

    def step(params, _):
      new = jax.tree.map(lambda p, g: p - self.learning_rate * g, params, jax.grad(self._loss)(params))
      return new, strength(new)

    strengths = jax.jit(lambda p: jax.lax.scan(step, p, length=self.steps)[1])(params)
    return np.concatenate([strength(params)[None], strengths])

  def measure(self, seed: int, parts: Parts) -> Findings:
    del parts  # a fifth of a second in all
    s = self._problem()[2][1]
    t = np.arange(self.steps + 1)[:, None]
    tau = 1 / self.learning_rate
    measured = self._train(self._initial(seed, balanced=True))
    unbalanced = self._train(self._initial(seed, balanced=False))

    def deviation(strengths, exponent=2.0):
      return float(np.max(np.abs(strengths - mode_strength(t, s, self.initial_strength, tau, exponent)) / s))

    half_time = np.argmax(measured > s / 2, axis=0)
    stronger = s[:, None] > s[None, :] + 1e-9
    thin = slice(None, None, max(self.steps // 150, 1))
    curves = []
    for k in range(len(s)):
      formula = mode_strength(t[thin, 0], s[k], self.initial_strength, tau)
      curves += [Series(f"mode {k + 1}, s = {s[k]:.3f}", t[thin, 0], measured[thin, k]),
                 Series(f"formula {k + 1}", t[thin, 0], formula, kind="theory")]
    return Findings(
        metrics={
            "deviation": deviation(measured),
            "modes_out_of_order": float(np.sum(stronger & (half_time[:, None] >= half_time[None, :]))),
            "deviation_halved_exponent": deviation(measured, exponent=1.0),
            "deviation_random_weights": deviation(unbalanced),
        },
        figures=(Figure(
            title="Mode strengths while the network learns", x_label="step", y_label="mode strength u",
            series=tuple(curves), caption="Every mode runs along the paper's formula; strong modes rise first."),),
        notes=("Random weights of the same size break the formula: they are neither balanced nor decoupled.",))
