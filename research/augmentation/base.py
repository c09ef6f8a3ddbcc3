"""What is done to a batch on the devices, inside the compiled step: float work, which costs the host nothing.

In training each transform has a key of its own; in evaluation, export and serving the key is None: one that augments then
does nothing.
"""

import dataclasses
from collections.abc import Sequence

import jax

Batch = dict[str, jax.Array]

_SALT = 0x617567  # keeps these keys apart from the network's, which are folded from the same one


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnDevice:
  """Base of all transforms of batches on devices."""

  def __call__(self, batch: Batch, key: jax.Array | None) -> Batch:
    """Returns a new batch. Traced; examples whose mask is 0 must not change what becomes of others."""
    raise TypeError(f"{type(self).__name__} defines no __call__")


def apply(transforms: Sequence[OnDevice], batch: Batch, key: jax.Array | None) -> Batch:
  """Runs the transforms in their order."""
  for position, transform in enumerate(transforms):
    batch = transform(batch, None if key is None else jax.random.fold_in(jax.random.fold_in(key, _SALT), position))
  return batch
