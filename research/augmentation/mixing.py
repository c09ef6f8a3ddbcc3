"""Mixing examples and their labels: mixup and CutMix.

Each example is mixed with the one at the mirrored place of its batch. The labels are not mixed but given as a pair, which the
loss, linear in them, takes apart: `mixed_labels` (B,) and `mixed_share` (B,) of the other's label.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.augmentation.base import Batch, OnDevice
from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixup(OnDevice):
  """x ← (1 − share)·x + share·other, share ~ Beta(alpha, alpha) (Zhang et al. 2018). After Normalize or before it alike.

  Attributes:
    alpha: of the Beta distribution.
    per_example: draw a share for each example, else one for the batch, as the paper's code does.
    name: the feature with the inputs, float.
  """

  alpha: float
  per_example: bool = False
  name: str = "inputs"

  def __post_init__(self):
    _check_alpha(self.alpha)

  def __call__(self, batch, key):
    if key is None:
      return batch
    x = batch[self.name]
    share_B = _shares(key, self.alpha, batch, self.per_example)
    share = share_B.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)
    return {**_with_pair(batch, share_B), self.name: x + share * (_others(x) - x)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutMix(OnDevice):
  """Puts a rectangle of the other image in, its area's share ~ Beta(alpha, alpha) (Yun et al. 2019).

  Attributes:
    alpha: of the Beta distribution.
    per_example: draw a rectangle for each example, else one for the batch, as the paper's code does.
    name: the feature with the images, (B, H, W, C).
  """

  alpha: float = 1.0
  per_example: bool = False
  name: str = "inputs"

  def __post_init__(self):
    _check_alpha(self.alpha)

  def __call__(self, batch, key):
    if key is None:
      return batch
    x = batch[self.name]
    share_key, place_key = jax.random.split(key)
    share_B = _shares(share_key, self.alpha, batch, self.per_example)
    inside_BHW = rectangles(place_key, jnp.sqrt(share_B), jnp.sqrt(share_B), x.shape[1:3], same=not self.per_example)
    mixed = jnp.where(inside_BHW[..., None], _others(x), x)
    return {**_with_pair(batch, inside_BHW.mean((1, 2))), self.name: mixed}  # what fell outside does not count


def rectangles(key: jax.Array, height_B: jax.Array, width_B: jax.Array, sides: tuple[int, int], *, same: bool = False):
  """Rectangles with the given shares of the sides around uniform centres, cut off at the border. Returns (B, H, W) bools."""
  centres = jax.random.uniform(key, (2, 1 if same else len(height_B)))
  at = [jnp.floor(c * side)[:, None] for c, side in zip(centres, sides, strict=True)]
  half = [jnp.floor(share * side)[:, None] / 2 for share, side in zip((height_B, width_B), sides, strict=True)]
  pixels = [jnp.arange(side)[None] for side in sides]
  rows, columns = ((p >= jnp.floor(a - h)) & (p < jnp.floor(a + h)) for p, a, h in zip(pixels, at, half, strict=True))
  return rows[:, :, None] & columns[:, None, :]


def _check_alpha(alpha: float) -> None:
  if not alpha > 0:
    raise ConfigError(f"alpha={alpha}: must be above 0")


def _others(x: jax.Array) -> jax.Array:
  return x[::-1]


def _shares(key: jax.Array, alpha: float, batch: Batch, per_example: bool) -> jax.Array:
  """(B,) shares of the other example; 0 where that one is no example."""
  num = len(batch["mask"])
  share = jnp.broadcast_to(jax.random.beta(key, alpha, alpha, (num if per_example else 1,)), (num,))
  return share * _others(batch["mask"])


def _with_pair(batch: Batch, share_B: jax.Array) -> Batch:
  if "mixed_labels" in batch:
    raise ConfigError("only one of the transforms can mix labels; choose Mixup or CutMix, or Either of them")
  return {**batch, "mixed_labels": _others(batch["labels"]), "mixed_share": share_B}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Either(OnDevice):
  """One of two transforms for each batch, by chance: mixup or CutMix, as timm's `switch_prob`.

  Attributes:
    first, second: the two; both must leave the same features.
    probability: of the second.
  """

  first: OnDevice
  second: OnDevice
  probability: float = 0.5

  def __call__(self, batch, key):
    if key is None:
      return self.second(self.first(batch, None), None)
    choice, inner = jax.random.split(key)
    return jax.lax.cond(jax.random.uniform(choice) < self.probability,
                        lambda b: self.second(b, inner), lambda b: self.first(b, inner), batch)
