"""What people draw, as scans have it."""

import dataclasses

import numpy as np

from research.preprocessing.images import Images, ImageTransform, each
from research.preprocessing.randomness import Randomness


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrightOnDark(ImageTransform):
  """Inverts images whose border is bright: ink on paper becomes bright on dark, which is how MNIST and its like are stored."""

  def change(self, images: Images, random: Randomness | None) -> Images:
    return each(images, lambda _, image: 255 - image if _border(image).mean() > 127.5 else image)


def _border(image: np.ndarray) -> np.ndarray:
  return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
