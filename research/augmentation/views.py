"""Views of images for evaluations that average over them."""

import dataclasses

import jax.numpy as jnp

from research.augmentation.base import OnDevice
from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShiftedMirrors(OnDevice):
  """In evaluation eight views of each image, (B, 8, H, W, C): airbench's test-time augmentation (Jordan 2024, section 3.5).

  The image twice, shifted up and to the left, shifted down and to the right, and the mirror images of these four. So a mean
  over the views gives the image and its mirror image a quarter each, and each shifted one an eighth. In training nothing.

  Attributes:
    pixels: how far; reflected pixels come in.
    name: the feature with the images.
  """

  pixels: int = 1
  name: str = "inputs"

  def __post_init__(self):
    if self.pixels < 1:
      raise ConfigError(f"pixels={self.pixels}: must be at least 1")

  def __call__(self, batch, key):
    if key is not None:
      return batch
    x_BHWC, n = batch[self.name], self.pixels
    padded = jnp.pad(x_BHWC, ((0, 0), (n, n), (n, n), (0, 0)), mode="reflect")
    views = [x_BHWC, x_BHWC, padded[:, 2 * n:, 2 * n:], padded[:, :-2 * n, :-2 * n]]
    return {**batch, self.name: jnp.stack([*views, *(view[:, :, ::-1] for view in views)], 1)}
