"""Adafactor."""

import dataclasses

import optax

from research.optimizers.base import DecoupledDecay


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adafactor(DecoupledDecay):
  """Adafactor (Shazeer, Stern 2018), algorithms 4 and 5: second moments of matrices kept as row and column means.

  Attributes:
    decay_exponent: the second moment's decay at the t-th update is 1 − t^−decay_exponent.
    clip_rms: largest root mean square of a parameter's direction.
    relative: multiply the direction by the parameter's root mean square, at least 1e-3.
    min_factored: matrices with a smaller side are not factored.
  """

  decay_exponent: float = 0.8
  clip_rms: float = 1.0
  relative: bool = True
  min_factored: int = 128

  def direction(self, params):
    factored = optax.scale_by_factored_rms(decay_rate=self.decay_exponent, min_dim_size_to_factor=self.min_factored)
    relative = optax.scale_by_param_block_rms() if self.relative else optax.identity()
    return optax.chain(factored, optax.clip_by_block_rms(self.clip_rms), relative, self.decay(params))
