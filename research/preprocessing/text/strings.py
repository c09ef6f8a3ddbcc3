"""Transforms of texts as they are, before they become numbers."""

import dataclasses

from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import Features, Transform, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class Join(Transform):
  """Makes one text of a list of texts.

  Attributes:
    text: the feature that is read, a list of texts for each example.
    to: the feature that is made; the same name replaces it.
    separator: what is put between.
  """

  text: str
  to: str
  separator: str = " "

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {**features, self.to: [self.separator.join(texts) for texts in take(features, self.text, self)]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prefix(Transform):
  """Puts words in front of a text that say what is asked for: "translate English to German: ".

  Attributes:
    text: the feature that is read.
    to: the feature that is made; the same name replaces it.
    prefix: what is put in front, with its space.
  """

  text: str
  to: str
  prefix: str

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {**features, self.to: [self.prefix + text for text in take(features, self.text, self)]}
