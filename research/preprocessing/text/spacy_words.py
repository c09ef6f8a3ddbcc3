"""spaCy's rules for words, as tutorials of translation use them: those of a language alone, without any trained model."""

import dataclasses
import functools

from research.preprocessing.randomness import Randomness
from research.preprocessing.text.moses import extra
from research.preprocessing.transform import Features, Transform, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpacyWords(Transform):
  """Parts words and punctuation of texts by spaces. Needs the extra `translation`.

  Attributes:
    text: the feature that is read.
    to: the feature that is made; the same name replaces it.
    language: whose rules, as two letters.
    lower: whether all is put in lower case, after the words are parted.
  """

  text: str
  to: str
  language: str
  lower: bool = False

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {**features, self.to: [self.tokenize(text) for text in take(features, self.text, self)]}

  def tokenize(self, text: str) -> str:
    """The tokens with a space between them. Raises TokenizerError where the extra is not installed."""
    words = " ".join(token.text for token in _rules(self.language)(text) if not token.is_space)
    return words.lower() if self.lower else words


@functools.cache
def _rules(language: str):
  return extra("spacy").blank(language).tokenizer
