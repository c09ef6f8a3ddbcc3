"""A two-layer network with squares learns to add modulo a prime, late, and into a solution known in closed form.

Gromov 2023, "Grokking modular arithmetic".

Shapes: P the prime, N hidden units, E examples.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.figures import Figure, Mark, Series
from research.optimizers.adamw import AdamW
from research.studies import scanned
from research.studies.base import Findings, Parts, Study


def network(params, x_ED):
  """Outputs (E, P) of one hidden layer that squares; x holds two one-hot numbers, side by side."""
  return jnp.square(x_ED @ params["hidden"]) @ params["output"]


def pairs(prime: int) -> tuple[np.ndarray, np.ndarray]:
  """All pairs as two one-hot vectors (P², 2P), and their sums modulo P (P²,)."""
  left, right = np.divmod(np.arange(prime**2), prime)
  one_hot = np.eye(prime, dtype=np.float32)
  return np.concatenate([one_hot[left], one_hot[right]], axis=1), (left + right) % prime


def analytic(prime: int, frequency_N, left_N, right_N, output_N) -> dict[str, np.ndarray]:
  """The paper's weights: cosines of one frequency a unit, which solve the task where output phase = left + right.

  (cos(ωn+φ1) + cos(ωm+φ2))² cos(ωq+φ3), summed over units, keeps cos(ω(n+m−q) + φ1+φ2−φ3); the rest averages out.

  Args:
    prime: P.
    frequency_N: whole numbers, ω = 2π·frequency/P.
    left_N, right_N, output_N: phases of both operands and of the output.
  """
  wave = lambda phase: np.cos(2 * np.pi * np.outer(np.arange(prime), frequency_N) / prime + phase)
  return {"hidden": np.concatenate([wave(left_N), wave(right_N)]), "output": wave(output_N).T}


def participation(hidden_DN, prime: int):
  """Inverse participation ratio (2N,) of each unit's spectrum over either operand: 1 for a cosine, 0.04 for noise at P = 97.

  The sum of squared shares of the power at the (P−1)/2 frequencies above zero.
  """
  operands = hidden_DN.reshape(2, prime, -1)
  power = jnp.abs(jnp.fft.rfft(operands, axis=1)[:, 1:]) ** 2
  share = power / jnp.sum(power, axis=1, keepdims=True)
  return jnp.sum(share**2, axis=1).ravel()


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrokkingQuadraticMLP(Study):
  """Counts what the closed-form weights get right, and trains the network on shares of the table.

  Attributes:
    prime: the numbers are 0 to prime−1.
    num_hidden: hidden units of the trained network.
    analytic_widths: hidden units of the networks with closed-form weights.
    train_shares: share of all pairs to train on, one run for each.
    optimizer: full-batch.
    init_deviation: initial weights are N(0, ·²) with this over (2·num_hidden)^⅓.
    steps: updates.
    evaluate_every: updates between two measurements.
  """

  prime: int = 97
  num_hidden: int = 500
  analytic_widths: tuple[int, ...] = (48, 96, 200, 500)
  train_shares: tuple[float, ...] = (0.3, 0.5)
  optimizer: AdamW = AdamW(learning_rate=1e-3, weight_decay=5.0)
  init_deviation: float = 0.5
  steps: int = 500
  evaluate_every: int = 10

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)
    if not all(0 < share < 1 for share in self.train_shares):
      raise ConfigError(f"train_shares={self.train_shares}: each lies between 0 and 1")

  def _initial(self, seed: int):
    deviation = self.init_deviation / (2 * self.num_hidden) ** (1 / 3)
    keys = jax.random.split(jax.random.key(seed), 2)
    return {"hidden": deviation * jax.random.normal(keys[0], (2 * self.prime, self.num_hidden), float),
            "output": deviation * jax.random.normal(keys[1], (self.num_hidden, self.prime), float)}

  def _loss(self, x_ED, y_E):
    targets = jnp.asarray(np.eye(self.prime)[y_E], jnp.asarray(x_ED).dtype)
    return lambda params, step=None: jnp.mean((network(params, x_ED) - targets) ** 2)

  def objective(self, seed: int, data_dir=None):
    x, y = pairs(self.prime)
    return self._loss(jnp.asarray(x[::97], float), y[::97]), self._initial(seed)

  def _train(self, seed: int, share: float) -> scanned.Curves:
    x, y = pairs(self.prime)
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = np.split(order, [round(share * len(x))])

    def measure(params):
      right = lambda at: jnp.mean(jnp.argmax(network(params, x[at]), axis=1) == y[at])
      ratio = participation(params["hidden"], self.prime)
      return {"train": right(train), "test": right(test), "participation": jnp.median(ratio)}

    return scanned.train(self._loss(x[train], y[train]), self._initial(seed), self.optimizer, steps=self.steps,
                         every=self.evaluate_every, measure=measure)[1]

  def _analytic(self, seed: int) -> dict[str, list[float]]:
    """Share of all pairs that closed-form weights get right: with matched phases, and with unrelated ones."""
    x, y = pairs(self.prime)
    found: dict[str, list[float]] = {"matched": [], "unrelated": []}
    for width in self.analytic_widths:
      rng = np.random.default_rng((seed, width))
      frequency = rng.integers(1, self.prime, width)
      left, right, other = rng.uniform(-np.pi, np.pi, (3, width))
      for kind, phase in (("matched", left + right), ("unrelated", other)):
        outputs = network(analytic(self.prime, frequency, left, right, phase), x)
        found[kind].append(float(np.mean(np.argmax(outputs, axis=1) == y)))
    return found

  def measure(self, seed: int, parts: Parts) -> Findings:
    known = self._analytic(seed)
    runs = dict(zip(self.train_shares, parts.each("share", self.train_shares, lambda share: self._train(seed, share))))
    runs = {share: {name: np.asarray(curve) for name, curve in run.items()} for share, run in runs.items()}
    metrics = {f"analytic_{width}": value for width, value in zip(self.analytic_widths, known["matched"])}
    metrics[f"unrelated_phases_{self.analytic_widths[-1]}"] = known["unrelated"][-1]
    series, spectra = [], []
    for share, run in runs.items():
      memorised, learnt = (scanned.first_step(run, part, 0.99) for part in ("train", "test"))
      metrics |= {f"test_accuracy_{share:g}": run["test"][-1], f"train_steps_{share:g}": memorised,
                  f"test_steps_{share:g}": learnt, f"delay_{share:g}": learnt / memorised,
                  f"participation_rise_{share:g}": run["participation"][-1] / run["participation"][0]}
      series += [Series(f"{part}, {share:.0%} of the table", run["step"], run[part]) for part in ("train", "test")]
      spectra.append(Series(f"{share:.0%} of the table", run["step"], run["participation"]))
    return Findings(metrics=metrics, figures=(
        Figure("Accuracy", "step", "accuracy", tuple(series), marks=(Mark("y", 0.99, "learnt"),),
               caption="With little data the test accuracy rises long after the training accuracy; with half the table soon."),
        Figure("Units become cosines", "step", "median inverse participation ratio", tuple(spectra),
               caption="1 is a unit with a single frequency, as in the closed form."),
        Figure("Weights in closed form, nothing trained", "hidden units", "accuracy over all pairs",
               tuple(Series(f"{kind} phases", self.analytic_widths, values) for kind, values in known.items()),
               x_scale="log", caption="Cosines with output phase = sum of the operands' phases add modulo the prime.")))
