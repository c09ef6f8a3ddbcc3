"""Transforms that differ between training and evaluation."""

import dataclasses

from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, apply


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerPhase(Transform):
  """Does one thing in training and another in evaluation, where a step has no form that serves both.

      PerPhase(training=(RandomResizedCrop(size=224, library="opencv"), Flip()),
               evaluation=(ResizeShorter(size=256, library="opencv"), CentreCrop(size=224)))

  Attributes:
    training: done in training.
    evaluation: done otherwise.
  """

  training: tuple[Transform, ...]
  evaluation: tuple[Transform, ...]

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return apply(self.evaluation if random is None else self.training, features, random)
