"""Learning-rate schedules: a factor over the steps of a run, by which the peak rate is multiplied."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from research.config import ConfigError, Duration

Factor = Callable[[jax.typing.ArrayLike], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Length:
  """How long a run is; what durations are counted in.

  Attributes:
    total_steps: updates of the whole run.
    batch_size: examples a step, over all devices; the mean where steps differ.
    steps_per_epoch: updates an epoch.
  """

  total_steps: int
  batch_size: float
  steps_per_epoch: int

  def steps(self, duration: Duration) -> int:
    """A duration in steps of this run."""
    return duration.steps(batch_size=self.batch_size, steps_per_epoch=self.steps_per_epoch, total=self.total_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
  """Base of all: a linear warm-up to the peak, reached at its last step, then what the class says.

  Attributes:
    warmup: length of the warm-up.
  """

  warmup: Duration = Duration(0)

  def factor(self, length: Length) -> Factor:
    """Returns step (0 for the first update) -> factor. Raises ConfigError if the warm-up exceeds the run."""
    warmup = length.steps(self.warmup)
    if warmup > length.total_steps:
      raise ConfigError(f"warmup={self.warmup} is {warmup} steps, but the run has {length.total_steps}")

    def of(step):
      step = jnp.asarray(step, float)
      return jnp.where(step < warmup, (step + 1) / max(warmup, 1), self.decay(step, warmup, length))

    return of

  def decay(self, step: jax.Array, warmup: int, length: Length) -> jax.Array:
    """The factor after the warm-up."""
    raise TypeError(f"{type(self).__name__} defines no decay")


def _progress(step, warmup: int, length: Length):
  """0 at the end of the warm-up, 1 at the end of the run."""
  return jnp.clip((step - warmup) / max(length.total_steps - warmup, 1), 0, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
  """Stays at the peak."""

  def decay(self, step, warmup, length):
    return jnp.ones_like(step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
  """Falls on a straight line.

  Attributes:
    final: the factor at the end of the run.
  """

  final: float = 0.0

  def decay(self, step, warmup, length):
    return 1 + (self.final - 1) * _progress(step, warmup, length)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Triangle(Linear):
  """Rises on a straight line, which reaches the peak after the warm-up's last step, then falls on another (Jordan 2024).

  Attributes:
    initial: the factor of the first update.
  """

  initial: float = 0.0

  def factor(self, length: Length) -> Factor:
    super().factor(length)  # refuses a warm-up that is too long
    warmup = length.steps(self.warmup)

    def of(step):
      step = jnp.asarray(step, float)
      rising = self.initial + (1 - self.initial) * step / max(warmup, 1)
      return jnp.where(step < warmup, rising, self.decay(step, warmup, length))

    return of


@dataclasses.dataclass(frozen=True, kw_only=True)
class TriStage(Schedule):
  """Stays at the peak for a while, then falls exponentially (fairseq's tri_stage).

  Attributes:
    hold: how long it stays.
    final: the factor at the end of the run.
  """

  hold: Duration
  final: float = 0.05

  def decay(self, step, warmup, length):
    return self.final ** _progress(step, warmup + length.steps(self.hold), length)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
  """Falls on half a cosine (Loshchilov, Hutter 2017, one period).

  Attributes:
    final: the factor at the end of the run.
  """

  final: float = 0.0

  def decay(self, step, warmup, length):
    return self.final + (1 - self.final) * (1 + jnp.cos(jnp.pi * _progress(step, warmup, length))) / 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSqrt(Schedule):
  """sqrt(w/t) at the t-th update with a warm-up of w updates, 1/sqrt(t) without (Vaswani et al. 2017, section 5.3)."""

  def decay(self, step, warmup, length):
    return jnp.sqrt(max(warmup, 1) / (step + 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piecewise(Schedule):
  """Constant pieces: the factor changes at each boundary.

  Attributes:
    boundaries: when, from the start of the run, ascending.
    factors: the factor from each boundary on.
  """

  boundaries: tuple[Duration, ...]
  factors: tuple[float, ...]

  def __post_init__(self):
    if len(self.boundaries) != len(self.factors):
      raise ConfigError(f"{len(self.boundaries)} boundaries, but {len(self.factors)} factors")

  def decay(self, step, warmup, length):
    steps = [length.steps(boundary) for boundary in self.boundaries]
    if steps != sorted(set(steps)):
      raise ConfigError(f"boundaries={', '.join(map(str, self.boundaries))} are steps {steps}: they must ascend")
    factors = jnp.asarray((1.0, *self.factors))
    return factors[jnp.searchsorted(jnp.asarray(steps), step, side="right")]
