"""Which number format is used where: one policy for parameters, computation and losses."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

Format = Literal["float32", "bfloat16", "float64"]


@dataclasses.dataclass(frozen=True)
class Precision:
  """Parameters, running statistics and the optimizer stay in float32 (or float64); the network computes in `compute`.

  Losses and metrics are computed by the task in float32 at least.
  """

  compute: Format

  def __post_init__(self):
    if self.compute == "float64" and not jax.config.read("jax_enable_x64"):
      raise ValueError('precision float64 needs PROCESS = {"x64": True} in the experiment\'s file')

  def cast(self, tree):
    """Floating-point leaves in the format of the computation; integers, keys and booleans as they are."""
    return jax.tree.map(lambda x: x.astype(self.compute) if _is_float(x) else x, tree)


def _is_float(x) -> bool:
  return jnp.issubdtype(x.dtype, jnp.floating)
