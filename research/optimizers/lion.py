"""Lion."""

import dataclasses

import optax

from research.optimizers.adam import check_betas
from research.optimizers.base import DecoupledDecay


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lion(DecoupledDecay):
  """Lion (Chen et al. 2023): the sign of a mean of gradients; one moment only.

  Attributes:
    b1: weight of the moment in the direction.
    b2: decay of the moment.
  """

  b1: float = 0.9
  b2: float = 0.99

  def __post_init__(self):
    super().__post_init__()
    check_betas(self.b1, self.b2)

  def direction(self, params):
    return optax.chain(optax.scale_by_lion(self.b1, self.b2), self.decay(params))
