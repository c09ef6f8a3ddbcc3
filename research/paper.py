"""What was published, what was measured here, and the verdict between the two.

A `Target` is fixed before the run; `judge` compares a measured value with it. A published number and a claim are kept
apart: a number is compared only under the paper's own protocol, a claim is tested by the criterion written here.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np


class Verdict(enum.StrEnum):
  """From best to worst; the headline of an experiment is the worst of the targets that gate."""

  REPRODUCED = "REPRODUCED"
  NOT_COMPARABLE = "NOT COMPARABLE"
  NOT_RUN = "NOT RUN"
  MISSED = "MISSED"


@dataclasses.dataclass(frozen=True)
class Paper:
  """Where the result was published."""

  title: str
  authors: str
  year: int
  venue: str
  url: str


@dataclasses.dataclass(frozen=True)
class Criterion:
  """The interval a value must lie in. Both ends belong to it; one that is not a number lies in none."""

  low: float = -math.inf
  high: float = math.inf

  def holds(self, value: float) -> bool:
    return self.low <= value <= self.high

  def miss(self, value: float) -> float:
    """How far outside the interval the value lies (0 inside)."""
    return max(self.low - value, value - self.high, 0.0) if not math.isnan(value) else math.inf

  def __str__(self):
    if self.low == self.high:
      return f"= {self.low:.6g}"
    if math.isinf(self.low):
      return f"≤ {self.high:.6g}"
    if math.isinf(self.high):
      return f"≥ {self.low:.6g}"
    return f"{self.low:.6g} to {self.high:.6g}"


def within(value: float, tolerance: float) -> Criterion:
  return Criterion(value - tolerance, value + tolerance)


def at_least(value: float) -> Criterion:
  return Criterion(low=value)


def at_most(value: float) -> Criterion:
  return Criterion(high=value)


def between(low: float, high: float) -> Criterion:
  return Criterion(low, high)


def exactly(value: float) -> Criterion:
  return Criterion(value, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
  """One thing that a paper says, and what counts as seeing it here.

  Attributes:
    metric: the name of the measured value.
    criterion: fixed before the run.
    says: the paper's statement in a few words, or what the row tests.
    place: where it says so: "Table 2", "abstract", "README".
    published: the paper's own figure, in the metric's unit; None where there is none to print.
    kind: "number" is a figure under the same protocol; "claim" is a statement that the criterion tests.
    seeds: what must lie in the criterion: the mean over the seeds, or each of them.
    signature: the metric's protocol, which the measured value must carry too ("" where it has none).
    not_comparable: why the published figure is not measured under the same protocol. Such a row shows both and gates
      nothing.
    control: the criterion must *not* hold: a wrong theory, shuffled labels. The target is met when it fails.
  """

  metric: str
  criterion: Criterion
  says: str
  place: str = ""
  published: float | None = None
  kind: Literal["number", "claim"] = "claim"
  seeds: Literal["mean", "all"] = "mean"
  signature: str = ""
  not_comparable: str = ""
  control: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A target beside what was measured.

  Attributes:
    value: mean over the seeds; None if it was not measured.
    interval: 95 %: of the mean over seeds (Student's t) or, of a single seed, of its own bootstrap; None if neither.
    per_seed: the value of each seed, in their order.
    reason: one line: by how much it missed, why it cannot be compared.
  """

  target: Target
  verdict: Verdict
  value: float | None
  interval: tuple[float, float] | None
  per_seed: tuple[float, ...]
  reason: str


def judge(target: Target, per_seed: Sequence[float], *, signature: str = "", interval=None,
          deviation: str = "") -> Outcome:
  """Compares what was measured with its target.

  Args:
    target: the target.
    per_seed: the metric of every seed; empty if it was not run.
    signature: the protocol under which the values were measured.
    interval: 95 % interval of a single value (bootstrap), used when there is one seed.
    deviation: in what the run differs from the recipe ("" if in nothing); then nothing can be compared.
  """
  per_seed = tuple(float(v) for v in per_seed)
  if not per_seed:
    return Outcome(target, Verdict.NOT_RUN, None, None, (), "not measured")
  value = float(np.mean(per_seed))
  interval = seeds_interval(per_seed) or interval

  def outcome(verdict, reason):
    return Outcome(target, verdict, value, interval, per_seed, reason)

  if target.not_comparable or deviation:
    return outcome(Verdict.NOT_COMPARABLE, target.not_comparable or deviation)
  if signature != target.signature:
    return outcome(Verdict.NOT_COMPARABLE, f"measured as {signature or 'unsigned'}, target is {target.signature or 'unsigned'}")
  judged = per_seed if target.seeds == "all" else (value,)
  holds = [target.criterion.holds(v) for v in judged]
  if target.control:
    if any(holds):
      return outcome(Verdict.MISSED, f"the control met {target.criterion}, which it must not")
    return outcome(Verdict.REPRODUCED, f"the control fails {target.criterion}, as it must")
  if all(holds):
    return outcome(Verdict.REPRODUCED, "")
  miss = max(target.criterion.miss(v) for v in judged)
  return outcome(Verdict.MISSED, f"outside {target.criterion} by {miss:.3g}")


def seeds_interval(values: Sequence[float]) -> tuple[float, float] | None:
  """95 % interval of the mean by Student's t; None for fewer than two values."""
  if len(values) < 2:
    return None
  from scipy import stats  # here: scipy.stats takes half a second to import, and most callers never need it

  half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
  return float(np.mean(values) - half), float(np.mean(values) + half)


def headline(outcomes: Sequence[Outcome]) -> Verdict:
  """The worst verdict of the targets that gate; what is only shown beside a claim does not gate."""
  gating = [o.verdict for o in outcomes if not o.target.not_comparable]
  if not gating:
    return Verdict.NOT_COMPARABLE if outcomes else Verdict.NOT_RUN
  return max(gating, key=list(Verdict).index)
