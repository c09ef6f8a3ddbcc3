"""Random erasing."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from research.augmentation.base import OnDevice
from research.augmentation.mixing import rectangles
from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomErasing(OnDevice):
  """In training replaces a rectangle of some images (Zhong et al. 2020). After Normalize, so that 0 is the mean.

  Unlike the paper's, a rectangle that would not fit is cut off at the border and not drawn again.

  Attributes:
    probability: of an image to be erased.
    area: least and largest share of the image that is erased.
    ratio: least aspect ratio; the largest is its inverse.
    noise: fill with normal noise for each pixel, else with zeros.
    name: the feature with the images, (B, H, W, C) float.
  """

  probability: float = 0.25
  area: tuple[float, float] = (0.02, 1 / 3)
  ratio: float = 0.3
  noise: bool = False
  name: str = "inputs"

  def __post_init__(self):
    if not 0 <= self.probability <= 1:
      raise ConfigError(f"probability={self.probability}: must be from 0 to 1")
    if not (0 < self.area[0] <= self.area[1] <= 1 and 0 < self.ratio <= 1):
      raise ConfigError(f"area={self.area}, ratio={self.ratio}: must be shares above 0, the area's in order")

  def __call__(self, batch, key):
    if key is None:
      return batch
    x = batch[self.name]
    keys = jax.random.split(key, 5)
    num = len(x)
    area_B = jax.random.uniform(keys[0], (num,), minval=self.area[0], maxval=self.area[1])
    bound = -math.log(self.ratio)
    ratio_B = jnp.exp(jax.random.uniform(keys[1], (num,), minval=-bound, maxval=bound))
    inside = rectangles(keys[2], jnp.sqrt(area_B * ratio_B), jnp.sqrt(area_B / ratio_B), x.shape[1:3])
    chosen = jax.random.uniform(keys[3], (num, 1, 1)) < self.probability
    fill = jax.random.normal(keys[4], x.shape, x.dtype) if self.noise else jnp.zeros((), x.dtype)
    return {**batch, self.name: jnp.where((inside & chosen)[..., None], fill, x)}
