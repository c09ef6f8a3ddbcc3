"""Adam."""

import dataclasses

import optax

from research.config import ConfigError
from research.optimizers.base import Optimizer


def check_betas(b1: float, b2: float) -> None:
  """Raises ConfigError if a moment's decay is not in [0, 1)."""
  for name, value in (("b1", b1), ("b2", b2)):
    if not 0 <= value < 1:
      raise ConfigError(f"{name}={value}: must be at least 0 and below 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
  """Adam (Kingma, Ba 2015), algorithm 1: direction m̂/(√v̂ + eps).

  Attributes:
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: added to the root of the second moment.
  """

  b1: float = 0.9
  b2: float = 0.999
  eps: float = 1e-8

  def __post_init__(self):
    super().__post_init__()
    check_betas(self.b1, self.b2)

  def direction(self, params):
    return optax.scale_by_adam(self.b1, self.b2, self.eps)
