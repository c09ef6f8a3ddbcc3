"""Adam with decoupled weight decay."""

import dataclasses

import optax

from research.optimizers.adam import Adam
from research.optimizers.base import DecoupledDecay


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Adam, DecoupledDecay):
  """Adam with decoupled weight decay (Loshchilov, Hutter 2019), the decay times the whole rate as in PyTorch."""

  weight_decay: float = 0.01

  def direction(self, params):
    return optax.chain(super().direction(params), self.decay(params))
