"""What measured errors at several numbers of examples say: which form they follow, what more data would bring.

Shapes: S sizes, R seeds.
"""

import dataclasses
import math

import numpy as np

from research.planning.curve_forms import FLOORED, FORMS, Fitted, Interval, fit

_SURE = 0.01  # a curve whose means lie so improbably far from a form does not have it


@dataclasses.dataclass(frozen=True)
class Reading:
  """A learning curve, read.

  Attributes:
    fitted: the form that was chosen, fitted to all sizes.
    held_out: of each form its distance from the largest size's mean log error, fitted without that.
    from_size, to_size: the back-test predicts the error with `to_size` examples from those with up to `from_size`; both 0 where
      the sizes do not reach far enough for one.
    predicted: the back-test's interval; not numbers without one.
    measured: what was measured there.
  """

  fitted: Fitted
  held_out: dict[str, float]
  from_size: int
  to_size: int
  predicted: Interval
  measured: float

  @property
  def is_power_law(self) -> bool:
    """Whether the curve may be a power law: one was chosen, and the means are no further from it than their noise."""
    return self.fitted.form is FLOORED and not self.fitted.misfit < _SURE

  @property
  def back_test_holds(self) -> bool:
    return self.predicted.holds(self.measured)


def read(sizes_S, errors_SR, *, level: float = 0.9, ahead: float = 4.0) -> Reading:
  """Chooses a form by what it says of the largest size, unseen, and tests its prediction of `ahead` times the data.

  Args:
    sizes_S: examples, rising; three at least.
    errors_SR: positive; of two or more seeds each.
    level: of the intervals.
    ahead: how many times the data the back-test looks ahead.
  """
  sizes_S, errors_SR = np.asarray(sizes_S), np.asarray(errors_SR, float)
  assert len(sizes_S) >= 3 and errors_SR.shape[1] >= 2, (sizes_S, errors_SR.shape)
  form, held_out = _choose(sizes_S, errors_SR)
  seen = int(np.sum(sizes_S * ahead <= sizes_S[-1] * 1.01))
  predicted, measured, ends = Interval(*[math.nan] * 3), math.nan, (0, 0)
  if seen >= 3:
    earlier, _ = _choose(sizes_S[:seen], errors_SR[:seen])
    predicted = fit(earlier, sizes_S[:seen], errors_SR[:seen], level=level).measured_at(sizes_S[-1], errors_SR.shape[1])
    measured, ends = float(np.exp(np.log(errors_SR[-1]).mean())), (int(sizes_S[seen - 1]), int(sizes_S[-1]))
  return Reading(fit(form, sizes_S, errors_SR, level=level), held_out, *ends, predicted, measured)


def _choose(sizes_S, errors_SR):
  """The first form that fits the smaller sizes and whose 99 % interval holds the largest; where none does, the nearest."""
  measured, distances, possible = float(np.log(errors_SR[-1]).mean()), {}, []
  for form in FORMS:
    fitted = fit(form, sizes_S[:-1], errors_SR[:-1], level=1 - _SURE)
    predicted = fitted.measured_at(sizes_S[-1], errors_SR.shape[1])
    distances[form] = abs(math.log(predicted.value) - measured)
    if predicted.holds(math.exp(measured)) and not fitted.misfit < _SURE:
      possible.append(form)
  nearest = min(distances, key=lambda form: distances[form])
  return (possible or [nearest])[0], {form.name: distance for form, distance in distances.items()}


def more_data(reading: Reading, error: float) -> str:
  """What an error needs, in words."""
  needed = reading.fitted.needed(error)
  if math.isinf(needed.low):
    return f"an error of {error:.4g} is not reachable by data alone"
  if math.isinf(needed.value):
    return f"an error of {error:.4g} is probably not reachable by data alone; it needs {needed.low:,.0f} examples at least"
  high = "and perhaps no number is enough" if math.isinf(needed.high) else f"{needed.high:,.0f}"
  between = f"[{needed.low:,.0f}, {high}]" if math.isfinite(needed.high) else f"({needed.low:,.0f} at least, {high})"
  return f"an error of {error:.4g} needs {needed.value:,.0f} examples {between}"


def worth(ours_S, beside: Fitted, sizes_S) -> float:
  """How many times the data the other recipe needs for the same errors: the geometric mean over the sizes where it gets there.

  Args:
    ours_S: mean errors of one recipe.
    beside: the other's fitted curve.
    sizes_S: examples the one recipe needed.
  """
  needed_S = np.array([beside.needed(float(error)).value for error in ours_S])
  reached_S = np.isfinite(needed_S)
  return float(np.exp(np.log(needed_S[reached_S] / np.asarray(sizes_S)[reached_S]).mean())) if reached_S.any() else math.inf
