"""How large a language model, and how much text, a budget is best spent on: the law of loss against both, put to a run.

Loss is E + A/N^α + B/D^β for N parameters, those of the vocabulary's tables among them, and D tokens that are each read once,
at 6ND operations (Hoffmann et al. 2022, approach 3).
"""

import dataclasses
import json
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np

from research.config import ConfigError


class Law(NamedTuple):
  """Constants of L(N, D) = E + A/N^α + B/D^β, in nats a token."""

  A: float
  B: float
  E: float
  alpha: float
  beta: float

  def loss(self, parameters, tokens):
    return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

  def optimum(self, compute: float) -> tuple[float, float]:
    """Parameters and tokens of least loss for `compute` = 6ND operations (Hoffmann et al. 2022, equation 4)."""
    total = self.alpha + self.beta
    scale = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
    return scale * (compute / 6) ** (self.beta / total), (compute / 6) ** (self.alpha / total) / scale

  def point(self) -> np.ndarray:
    """(5,) = a, b, e, α, β: what a fit moves; A, B and E are exponentials of the first three."""
    return np.array([*np.log(self[:3]), *self[3:]])

  @classmethod
  def of(cls, point) -> "Law":
    return cls(*np.exp(point[:3]).tolist(), *map(float, point[3:]))


BESIROGLU = Law(482.01, 2085.43, 1.8172, 0.3478, 0.3658)  # their table
HOFFMANN = Law(406.4, 410.7, 1.69, 0.34, 0.28)  # as printed
HOFFMANN_UNROUNDED = Law.of([6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083])  # from their TeX source

SOURCE = "Besiroglu et al. 2024"
# What the 240 runs span whose loss BESIROGLU was fitted to, and what their tokens were.
_SIZES, _TOKENS, _TOKEN = (5.7e7, 1.62e10), (8.2e8, 3.18e11), "subword"


def read(path: str) -> Law:
  """One's own law: a JSON file {"E": 1.8, "A": 480, "B": 2100, "alpha": 0.35, "beta": 0.37}.

  Raises:
    ConfigError: the file is not there or not of that form.
  """
  try:
    given = json.loads(pathlib.Path(path).expanduser().read_text())
  except (OSError, ValueError) as error:
    raise ConfigError(f"--plan.law={path}: {' '.join(str(error).split())}") from None
  is_number = lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)
  if not isinstance(given, dict) or set(given) != set(Law._fields) or not all(
      is_number(v) and (v > 0 or (name == "E" and v == 0)) for name, v in given.items()):
    raise ConfigError(f"--plan.law={path}: expected " + '{"E": ..., "A": ..., "B": ..., "alpha": ..., "beta": ...}, the '
                      f"constants of loss = E + A/N^alpha + B/D^beta, above 0 each (E may be 0); not {json.dumps(given)[:200]}")
  return Law(**{name: float(v) for name, v in given.items()})


def speaks_of(experiment: Any) -> bool:
  """Whether a law says something of an experiment: its task counts what it reads (`tokens_in`), and it begins untrained."""
  return hasattr(experiment.task, "tokens_in") and getattr(experiment, "pretrained", None) is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spent:
  """A way to spend compute, and what the law expects of it.

  Attributes:
    compute: operations, 6ND.
    parameters: N.
    tokens: D.
    loss: nats a token.
    hours: at the planned run's rate of operations; NaN where that is not known.
  """

  compute: float
  parameters: float
  tokens: float
  loss: float
  hours: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scaling:
  """What a law says of a planned run; JSON values.

  Attributes:
    law: its constants by name.
    source: where they are from.
    planned: the run as it is.
    best: the least loss of the same compute.
    enough: the share of the compute with which the best size reaches the planned run's loss.
    counted: the operations that the step's program has, in all steps: attention and what is computed again among them.
    budgets: the best for each of some budgets.
    notes: why the law may not hold.
  """

  law: dict[str, float]
  source: str
  planned: Spent
  best: Spent
  enough: float
  counted: float
  budgets: tuple[Spent, ...]
  notes: tuple[str, ...]


def restored(values: Any) -> Scaling:
  """A Scaling from its JSON values."""
  found = Scaling(**values)
  return dataclasses.replace(found, planned=Spent(**values["planned"]), best=Spent(**values["best"]),
                             budgets=tuple(Spent(**its) for its in values["budgets"]), notes=tuple(found.notes))


def scaling(*, law: Law | None, source: str, parameters: float, tokens: float, token: str, passes: float, counted: float,
            hours: float, budgets: tuple[float, ...] = ()) -> Scaling:
  """Puts a law to a run.

  Args:
    law: one's own; None for BESIROGLU.
    source: the file of one's own.
    parameters, tokens: of the run.
    token: what a token is.
    passes: how often the run takes each of its examples.
    counted: see Scaling.
    hours: of the run without its evaluations, NaN where not known.
    budgets: operations; none for a tenth of the run's, as much, ten and a hundred times as much.
  """
  its = law or BESIROGLU
  compute = 6 * parameters * tokens
  of = lambda c, n, d: Spent(compute=c, parameters=n, tokens=d, loss=its.loss(n, d), hours=hours * c / compute)
  planned, best = of(compute, parameters, tokens), of(compute, *its.optimum(compute))
  # Along the optimum both terms fall as the compute to the power of -αβ/(α + β).
  enough = ((best.loss - its.E) / (planned.loss - its.E)) ** ((its.alpha + its.beta) / (its.alpha * its.beta))
  notes = []
  if law is None and token != _TOKEN:
    notes.append(f"the law counts subwords: the loss a {token} is another, and so is the best size")
  if law is None and not (_SIZES[0] <= parameters <= _SIZES[1] and _TOKENS[0] <= tokens <= _TOKENS[1]):
    notes.append("the run lies outside those that the law was fitted to: {:.2g} to {:.2g} parameters, {:.2g} to {:.2g} tokens"
                 .format(*_SIZES, *_TOKENS))
  if passes > 1:
    notes.append(f"each example is taken {passes:.3g} times; the law is of text that is read once")
  rows = budgets or tuple(compute * factor for factor in (0.1, 1, 10, 100))
  return Scaling(law=its._asdict(), source=SOURCE if law is None else source, planned=planned, best=best, enough=enough,
                 counted=counted, budgets=tuple(of(c, *its.optimum(c)) for c in rows), notes=tuple(notes))
