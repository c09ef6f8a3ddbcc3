"""Lookahead: slow weights beside the optimizer's own."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from research.config import ConfigError, Duration
from research.optimizers.base import Optimizer, Tree
from research.optimizers.schedule import Factor, Length


class _State(NamedTuple):
  """Updates done, the slow weights, and the base optimizer's state."""

  count: jax.Array
  slow: Tree
  inner: optax.OptState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lookahead:
  """Lookahead (Zhang et al. 2019) with the growing memory of Jordan 2024, section 3.4.

  Every `every` steps slow ← ρ·slow + (1 − ρ)·w, and w ← slow; ρ = decay^every · (steps done / steps in all)^power. At the end
  of an epoch and of the run w ← slow. Running statistics are not the optimizer's: they are not averaged.

  Attributes:
    base: the optimizer that takes the steps.
    every: steps from one average to the next.
    decay: share that a step leaves of the slow weights at the end of the run.
    power: how late in the run that memory grows.
    start: no average before.
  """

  base: Optimizer
  every: int = 5
  decay: float = 0.95
  power: float = 3.0
  start: Duration = Duration(0)

  def __post_init__(self):
    if self.every < 1:
      raise ConfigError(f"every={self.every}: must be at least 1")
    if not 0 <= self.decay < 1 or self.power < 0:
      raise ConfigError(f"decay={self.decay}, power={self.power}: must be from 0, the decay below 1")

  def learning_rates(self, length: Length) -> Factor:
    """As the base optimizer's."""
    return self.base.learning_rates(length)

  def trained(self, params: Tree) -> Tree:
    """As the base optimizer's."""
    return self.base.trained(params)

  def build(self, params: Tree, length: Length) -> optax.GradientTransformationExtraArgs:
    """As the base optimizer's."""
    inner = self.base.build(params, length)
    first = -(-(length.steps(self.start) + 1) // self.every) * self.every  # the slow weights begin here

    def init(params):
      return _State(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params), inner.init(params))

    def update(gradient, state, params, **others):
      updates, inner_state = inner.update(gradient, state.inner, params, **others)
      fast, done = optax.apply_updates(params, updates), state.count + 1
      averaged = done % self.every == 0
      memory = self.decay**self.every * (done / length.total_steps) ** self.power
      back = averaged | (done % length.steps_per_epoch == 0) | (done == length.total_steps)

      def new_slow(slow, w):
        mixed = jnp.where(averaged, memory * slow + (1 - memory) * w, slow).astype(w.dtype)
        return jnp.where(done <= first, w, mixed)

      slow = jax.tree.map(new_slow, state.slow, fast)
      moved = jax.tree.map(lambda u, s, w: jnp.where(back & (done > first), s - w, u), updates, slow, params)
      return moved, _State(done, slow, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)  # ty: ignore[invalid-argument-type]  as in its docs
