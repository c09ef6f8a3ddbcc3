"""What all optimizers share: schedule, clipping, penalties, and rules by parameter."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from research import rules
from research.config import ConfigError, Duration
from research.optimizers.schedule import Constant, Factor, Length, Schedule

Tree = Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """Base of all optimizers; a subclass says in which direction a gradient leads.

  An update: clip the gradient, add l2·w, turn it into a direction, subtract rate·direction, soft-threshold by rate·l1.

  Attributes:
    learning_rate: the peak rate.
    schedule: how the rate goes over the run.
    learning_rate_rules: (regex over a parameter's path, factor on its rate); 0 freezes it.
    clip_norm: largest norm of the gradient of all trained parameters together, or None.
    l2: adds l2·w to the gradient of each weight, that is, l2/2·‖w‖² to the loss.
    l1: soft-thresholds each weight after its update, a proximal step on l1·‖w‖₁ that gives exact zeros. Under an
      adaptive optimizer it is not rescaled as the gradient is.
    penalty_rules: (regex, factor on l2, l1 and weight decay); 0 exempts a parameter.
    frozen_after: (regex, when): from then on these parameters stay as they are.
  """

  learning_rate: float
  schedule: Schedule = Constant()
  learning_rate_rules: tuple[tuple[str, float], ...] = ((".*", 1.0),)
  clip_norm: float | None = None
  l2: float = 0.0
  l1: float = 0.0
  penalty_rules: tuple[tuple[str, float], ...] = ((".*", 1.0),)
  frozen_after: tuple[tuple[str, Duration], ...] = ()

  def __post_init__(self):
    for name in ("learning_rate", "l1", "l2"):
      if not getattr(self, name) >= 0:
        raise ConfigError(f"{name}={getattr(self, name)}: must not be negative")
    if self.clip_norm is not None and not self.clip_norm > 0:
      raise ConfigError(f"clip_norm={self.clip_norm}: must be above 0, or None")
    rules.check(self.learning_rate_rules)
    rules.check(self.penalty_rules)
    rules.check(self.frozen_after)

  def learning_rates(self, length: Length) -> Factor:
    """Returns step (0 for the first update) -> rate, before factors by parameter."""
    factor = self.schedule.factor(length)
    return lambda step: self.learning_rate * factor(step)

  def build(self, params: Tree, length: Length) -> optax.GradientTransformationExtraArgs:
    """The Optax transformation for these parameters (abstract ones will do).

    Its `update(gradient, state, params, value=, grad_fn=)` takes a grad_fn(params) -> gradient on the same batch,
    which only those use that look at more than one gradient a step. Frozen parameters have no state.

    Raises:
      ConfigError: a rule matches no parameter, or a parameter has no rule.
    """
    rates = self.learning_rates(length)
    factors = rules.by_path(self.learning_rate_rules, params)
    penalties = rules.by_path(self.penalty_rules, params)
    steps = [optax.clip_by_global_norm(self.clip_norm)] if self.clip_norm is not None else []
    if self.l2:
      steps.append(add_weights(self.l2, penalties))
    steps += [self.direction(params), _scale(factors), optax.scale_by_learning_rate(rates)]
    if self.l1:
      steps.append(_soft_threshold(rates, {path: self.l1 * penalties[path] * factors[path] for path in factors}))
    if self.frozen_after:
      ends = [(pattern, length.steps(when)) for pattern, when in self.frozen_after]
      steps.append(_until(rules.by_path([*ends, (".*", length.total_steps)], params)))
    transformation = optax.chain(*steps)
    if not all(factors.values()):
      labels = jax.tree.map_with_path(lambda path, _: "trained" if factors[rules.join(path)] else "frozen", params)
      transformation = optax.partition({"trained": transformation, "frozen": optax.set_to_zero()}, labels)
    return optax.with_extra_args_support(transformation)

  def trained(self, params: Tree) -> Tree:
    """A tree of bools: which parameters are not frozen."""
    return jax.tree.map(bool, rules.apply(self.learning_rate_rules, params))

  def direction(self, params: Tree) -> optax.GradientTransformation:
    """Gradient to direction; the parameters move against it by the rate."""
    raise TypeError(f"{type(self).__name__} defines no direction")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoupledDecay(Optimizer):
  """Base of those whose weight decay is no part of the gradient (Loshchilov, Hutter 2019).

  Attributes:
    weight_decay: each update also subtracts rate·weight_decay·w; penalty_rules say of which weights.
  """

  weight_decay: float = 0.0

  def __post_init__(self):
    super().__post_init__()
    if not self.weight_decay >= 0:
      raise ConfigError(f"weight_decay={self.weight_decay}: must not be negative")

  def decay(self, params: Tree) -> optax.GradientTransformation:
    """Adds weight_decay·w to a direction."""
    return add_weights(self.weight_decay, rules.by_path(self.penalty_rules, params))


def add_weights(strength: float, factors: dict[str, float]) -> optax.GradientTransformation:
  """Adds strength·factor·w to what comes in, with a factor for each path."""
  by_path = {path: strength * factor for path, factor in factors.items()}
  return _stateless(lambda path, u, w: u + by_path[path] * w if by_path[path] else u)


def _scale(factors: dict[str, float]) -> optax.GradientTransformation:
  return _stateless(lambda path, u, w: u if factors[path] == 1 else factors[path] * u)


def _stateless(update: Callable) -> optax.GradientTransformation:
  """A transformation from (path, update, weight) -> update."""
  return optax.stateless(lambda updates, params: jax.tree.map_with_path(
      lambda path, u, w: update(rules.join(path), u, w), updates, params))


def _soft_threshold(rates: Factor, strengths: dict[str, float]) -> optax.GradientTransformation:
  """Makes the updated weights sign(w)·max(|w| − rate·strength, 0)."""

  def update(updates, state, params=None):
    rate = rates(state)

    def one(path, u, w):
      moved = w + u
      threshold = (rate * strengths[rules.join(path)]).astype(w.dtype)
      return jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - threshold, 0) - w

    return jax.tree.map_with_path(one, updates, params), state + 1

  return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def _until(ends: dict[str, int]) -> optax.GradientTransformation:
  """Lets each parameter's updates through for so many steps."""

  def update(updates, state, params=None):
    del params
    return jax.tree.map_with_path(lambda path, u: jnp.where(state < ends[rules.join(path)], u, 0), updates), state + 1

  return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
