"""AMSGrad."""

import dataclasses

import optax

from research.optimizers.adam import Adam


@dataclasses.dataclass(frozen=True, kw_only=True)
class AMSGrad(Adam):
  """Adam whose second moment never falls (Reddi, Kale, Kumar 2018), with Adam's bias correction before the maximum."""

  def direction(self, params):
    return optax.scale_by_amsgrad(self.b1, self.b2, self.eps)
