"""How an error may fall with the number of examples: forms y = s·h(n), s a scale, h one or two more numbers, and their fit.

Least squares of log y, so that noise is taken as a share of the error. For given shape the best scale is a mean, so the
shape's one or two numbers are searched on a grid, and every interval is a profile likelihood's: the range of a quantity over
all parameters whose sum of squares is within Student's limit of the least (Bates, Watts 1988, section 6.1). Unlike a bootstrap
over two or three seeds, and unlike the tangent at the best fit, it holds its level with five sizes (tests/planning).

Shapes: S sizes, R seeds, P, Q grid points.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import stats

_COARSE, _FINE = 60, 90  # grid points an axis


@dataclasses.dataclass(frozen=True)
class Form:
  """A family of curves s·h(z; p, q), falling in z, the number of examples over a reference.

  Attributes:
    name: as people call it.
    shape: h: (z, p, q) -> values, broadcasting.
    inverse: z of h: (h, p, q) -> z; infinite where the curve never gets there.
    p, q: the ends of the grid, both searched by their logarithm; equal ends where there is no such number.
    floor: (p, q) -> the share h that is left with endless data.
  """

  name: str
  shape: Callable
  inverse: Callable
  p: tuple[float, float]
  q: tuple[float, float]
  floor: Callable


def _root(base, exponent):
  with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
    return np.where(base > 0, np.maximum(base, 1e-300) ** exponent, np.inf)


_NONE = (1.0, 1.0)
# p is the exponent α, q the floor as a share of what falls at the reference.
FLOORED = Form("a power law with a floor", lambda z, p, q: q + z ** -p, lambda h, p, q: _root(h - q, -1 / p),
               (0.01, 5.0), (1e-4, 1e3), lambda p, q: q)
POWER = Form("a power law", lambda z, p, q: z ** -p, lambda h, p, q: _root(h, -1 / p), (0.01, 5.0), _NONE,
             lambda p, q: np.zeros_like(p))
EXPONENTIAL = Form("exponential decay to a floor", lambda z, p, q: q + np.exp(-p * z),
                   lambda h, p, q: np.where(h > q, -np.log(np.maximum(h - q, 1e-300)) / p, np.inf), (0.01, 10.0), (1e-4, 1e3),
                   lambda p, q: q)
# p is the steepness, q the number of examples, over the reference, at which half is gone.
TRANSITION = Form("a transition", lambda z, p, q: 1 / (1 + (z / q) ** p),
                  lambda h, p, q: q * _root(1 / np.clip(h, 1e-300, None) - 1, 1 / p), (0.3, 12.0), (1e-2, 1e2),
                  lambda p, q: np.zeros_like(p))
# A power law without a floor is none of them: it is among those with one, and what a few sizes cannot tell apart from a floor
# must be in the interval.
FORMS = (FLOORED, TRANSITION, EXPONENTIAL)


@dataclasses.dataclass(frozen=True)
class Interval:
  """A value and the interval it lies in."""

  value: float
  low: float
  high: float

  def __str__(self) -> str:
    return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

  def holds(self, value: float) -> bool:
    return self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A form fitted to errors.

  Attributes:
    form: which.
    reference: examples at z = 1.
    p_N, q_N: the shapes within the limit, the best first.
    log_scale_N: their best log s.
    slack_N: by how much log s may go up or down within the limit.
    noise: standard deviation of log y of one seed.
    degrees: of freedom of the noise.
    misfit: probability of so large a distance of the means from the curve if the form holds; not a number with one seed.
    level: of the intervals.
  """

  form: Form
  reference: float
  p_N: np.ndarray
  q_N: np.ndarray
  log_scale_N: np.ndarray
  slack_N: np.ndarray
  noise: float
  degrees: int
  misfit: float
  level: float

  def _over(self, quantity: Callable) -> Interval:
    """The range of quantity(s, p, q)."""
    ends = [quantity(np.exp(self.log_scale_N + sign * self.slack_N), self.p_N, self.q_N) for sign in (-1, 0, 1)]
    return Interval(float(ends[1][0]), float(np.min(ends)), float(np.max(ends)))

  @property
  def exponent(self) -> Interval:
    return self._over(lambda s, p, q: p)

  @property
  def floor(self) -> Interval:
    """The error left with endless data."""
    return self._over(lambda s, p, q: s * self.form.floor(p, q))

  def at(self, n: float) -> Interval:
    """The expected error with n examples."""
    return self._over(lambda s, p, q: s * self.form.shape(n / self.reference, p, q))

  def measured_at(self, n: float, num_seeds: int) -> Interval:
    """The mean log error, as an error, that `num_seeds` new runs with n examples will have."""
    mean = self.at(n)
    more = (stats.t.ppf((1 + self.level) / 2, self.degrees) * self.noise) ** 2 / num_seeds
    wider = lambda end: np.sqrt(np.log(end / mean.value) ** 2 + more)
    return Interval(mean.value, float(mean.value * np.exp(-wider(mean.low))), float(mean.value * np.exp(wider(mean.high))))

  def needed(self, error: float) -> Interval:
    """The examples that the error needs; infinite where it is never reached."""
    return self._over(lambda s, p, q: self.reference * self.form.inverse(error / s, p, q))


def fit(form: Form, sizes_S, errors_SR, *, level: float = 0.9) -> Fitted:
  """Fits a form.

  Args:
    form: which.
    sizes_S: examples.
    errors_SR: positive; of several seeds each.
    level: of the intervals.
  """
  sizes_S, log_SR = np.asarray(sizes_S, float), np.log(np.asarray(errors_SR, float))
  num_sizes, num_seeds = log_SR.shape
  reference = float(np.exp(np.log(sizes_S).mean()))
  z_S, mean_S = sizes_S / reference, log_SR.mean(1)
  within = float(((log_SR - mean_S[:, None]) ** 2).sum())
  numbers = 1 + (form.p[0] < form.p[1]) + (form.q[0] < form.q[1])
  degrees = num_sizes * num_seeds - numbers
  assert degrees > 0, (num_sizes, num_seeds, numbers)

  def squares(p_axis, q_axis):
    p_PQ, q_PQ = (x.ravel() for x in np.meshgrid(p_axis, q_axis, indexing="ij"))
    left_SN = mean_S[:, None] - np.log(np.maximum(form.shape(z_S[:, None], p_PQ, q_PQ), 1e-300))
    scale_N = left_SN.mean(0)
    return p_PQ, q_PQ, scale_N, num_seeds * ((left_SN - scale_N) ** 2).sum(0) + within

  limit = 1 + stats.f.ppf(level, 1, degrees) / degrees
  axis = lambda ends, num: np.geomspace(*ends, num) if ends[0] < ends[1] else np.array(ends[:1])
  p_N, q_N, scale_N, squares_N = squares(axis(form.p, _COARSE), axis(form.q, _COARSE))
  for widen in (4.0, 1.5):  # twice: the first look may be far coarser than the region
    inside = squares_N <= squares_N.min() * (1 + (limit - 1) * widen) + 1e-12
    around = lambda values, ends, inside=inside: _around(values, inside, ends)
    p_N, q_N, scale_N, squares_N = squares(axis(around(p_N, form.p), _FINE), axis(around(q_N, form.q), _FINE))
  least = squares_N.min()
  keep = np.flatnonzero(squares_N <= least * limit + 1e-15)
  keep = keep[np.argsort(squares_N[keep], kind="stable")]
  slack_N = np.sqrt(np.maximum(least * limit - squares_N[keep], 0) / (num_sizes * num_seeds))
  free, pure = num_sizes - numbers, num_sizes * (num_seeds - 1)
  misfit = float("nan")
  if free > 0 and pure > 0 and within > 0:
    misfit = float(stats.f.sf((least - within) / free / (within / pure), free, pure))
  return Fitted(form, reference, p_N[keep], q_N[keep], scale_N[keep], slack_N, float(np.sqrt(least / degrees)), degrees, misfit,
                level)


def _around(values: np.ndarray, inside: np.ndarray, ends: tuple[float, float]) -> tuple[float, float]:
  """The part of a grid's axis that holds what is inside, and one step more on each side."""
  steps = np.unique(values)
  if len(steps) < 2:
    return ends
  found = np.searchsorted(steps, [values[inside].min(), values[inside].max()])
  return float(steps[max(found[0] - 1, 0)]), float(steps[min(found[1] + 1, len(steps) - 1)])
