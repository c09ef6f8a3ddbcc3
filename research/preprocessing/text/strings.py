"""Transforms of texts as they are, before they become numbers."""

import dataclasses
import re

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Separate(Transform):
  """Lower case, and one blank before every word, sign and end of a line: a word is then the same token wherever it stands.

  Attributes:
    text: the feature that is read.
    to: the feature that is made; the same name replaces it.
    signs: whether signs and ends of lines stay, or words only.
  """

  text: str
  to: str
  signs: bool = True

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    kept = re.compile(r"\w+|[^\w \r]" if self.signs else r"\w+")
    separated = ["".join(f" {part}" for part in kept.findall(text.lower())) for text in take(features, self.text, self)]
    return {**features, self.to: separated}


@dataclasses.dataclass(frozen=True, kw_only=True)
class First(Transform):
  """Takes the first of a list of texts.

  Attributes:
    text: the feature that is read, a list of texts for each example.
    to: the feature that is made; the same name replaces it.
  """

  text: str
  to: str

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {**features, self.to: [texts[0] for texts in take(features, self.text, self)]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WikiText(Transform):
  """WikiText's tokens back to text as people write it, as GPT-2 was scored on it: no blanks where none belong.

  Attributes:
    text: the feature that is read.
    to: the feature that is made; the same name replaces it.
  """

  text: str
  to: str

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {**features, self.to: [_joined(text) for text in take(features, self.text, self)]}


_WIKITEXT = tuple((re.compile(pattern), made) for pattern, made in (
    (r" @([-,.])@ ", r"\1"), (r" ([,.;:!?%)\]}]|'s|n't)(?=\s|$)", r"\1"), (r"([(\[{]) ", r"\1"), (r'" ([^"\n]*?) "', r'"\1"'),
    (r"(?<=\w)s ' ", "s' "), (r"= (?==)", "="), (r" *\n *", "\n")))


def _joined(text: str) -> str:
  for pattern, made in _WIKITEXT:
    text = pattern.sub(made, text)
  return text


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentenceLines:
  """Puts sentences on a line each, which rougeLsum asks for: " . " ends one, as T5's authors have it for CNN/DailyMail."""

  def detokenize(self, text: str) -> str:
    return text.replace(" . ", " .\n")
