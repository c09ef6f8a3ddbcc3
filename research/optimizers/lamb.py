"""LAMB."""

import dataclasses

import optax

from research.optimizers.adamw import AdamW


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb(AdamW):
  """LAMB (You et al. 2020), algorithm 2 with φ(z) = z: AdamW's direction, scaled in each parameter by ‖w‖/‖direction‖.

  Stacked layers count as one parameter.
  """

  eps: float = 1e-6

  def direction(self, params):
    return optax.chain(super().direction(params), optax.scale_by_trust_ratio())
