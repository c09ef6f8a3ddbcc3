"""Gradient descent, with momentum if wished."""

import dataclasses

import optax

from research.config import ConfigError
from research.optimizers.base import Optimizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientDescent(Optimizer):
  """Gradient descent; on batches, stochastic gradient descent.

  m ← momentum·m + g; the direction is m, or g + momentum·m with Nesterov's (Sutskever et al. 2013, as in PyTorch).

  Attributes:
    momentum: how much of the last direction is kept; 0 for none.
    nesterov: look ahead by one step.
  """

  momentum: float = 0.0
  nesterov: bool = False

  def __post_init__(self):
    super().__post_init__()
    if not 0 <= self.momentum < 1:
      raise ConfigError(f"momentum={self.momentum}: must be at least 0 and below 1")
    if self.nesterov and not self.momentum:
      raise ConfigError("nesterov needs momentum above 0")

  def direction(self, params):
    return optax.trace(self.momentum, self.nesterov) if self.momentum else optax.identity()
