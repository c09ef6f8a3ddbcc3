"""Words as tokens."""

import pathlib
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from research.preprocessing.text.base import SETTINGS_FILE, write_json
from research.preprocessing.text.vocabulary import Vocabulary, VocabularyTokenizer

Splitting = Literal["spaces", "punctuation"]
_PIECE = re.compile(r"\w+|[^\w\s]")


def split(text: str, splitting: Splitting, lower: bool) -> list[str]:
  """The words of a text: what spaces part, or runs of letters and digits and every other sign alone."""
  text = text.lower() if lower else text
  return text.split() if splitting == "spaces" else _PIECE.findall(text)


class WordTokenizer(VocabularyTokenizer):
  """A token for each word of a vocabulary; decoded, spaces part them. See Tokenizer."""

  def __init__(self, vocabulary: Vocabulary, splitting: Splitting, lower: bool):
    super().__init__(vocabulary)
    self._splitting, self._lower = splitting, lower

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    return [self._vocabulary.encode(split(text, self._splitting, self._lower)) for text in texts]

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    return [" ".join(self._vocabulary.decode(i)) for i in ids]

  def save(self, folder: pathlib.Path) -> None:
    write_json(folder / SETTINGS_FILE, {"kind": "words", "splitting": self._splitting, "lower": self._lower,
                                        "tokens": self._vocabulary.tokens})
