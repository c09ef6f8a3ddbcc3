"""Sharpness-aware minimization."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from research.config import ConfigError
from research.optimizers.base import Optimizer, Tree
from research.optimizers.schedule import Factor, Length


@dataclasses.dataclass(frozen=True, kw_only=True)
class SAM:
  """Sharpness-aware minimization (Foret et al. 2021), algorithm 1: two gradients a step.

  The base optimizer is given the gradient at w + radius·g/‖g‖. Frozen parameters are not moved.

  Attributes:
    base: the optimizer that takes the step.
    radius: how far uphill the gradient is taken; the paper's ρ.
  """

  base: Optimizer
  radius: float = 0.05

  def __post_init__(self):
    if self.radius <= 0:
      raise ConfigError(f"radius={self.radius}: must be above 0")

  def learning_rates(self, length: Length) -> Factor:
    """As the base optimizer's."""
    return self.base.learning_rates(length)

  def trained(self, params: Tree) -> Tree:
    """As the base optimizer's."""
    return self.base.trained(params)

  def build(self, params: Tree, length: Length) -> optax.GradientTransformationExtraArgs:
    """As the base optimizer's; `update` must be given grad_fn."""
    inner, trained = self.base.build(params, length), self.base.trained(params)

    def update(gradient, state, params, *, grad_fn, **others):
      moving = jax.tree.map(lambda g, t: g if t else jnp.zeros_like(g), gradient, trained)
      norm = jnp.maximum(optax.tree.norm(moving), 1e-12)
      uphill = jax.tree.map(lambda w, g: w + (self.radius / norm).astype(w.dtype) * g, params, moving)
      return inner.update(grad_fn(uphill), state, params, grad_fn=grad_fn, **others)

    return optax.GradientTransformationExtraArgs(inner.init, update)  # ty: ignore[invalid-argument-type]  as in its docs
