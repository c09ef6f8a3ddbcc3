"""Moses' rules for text, as translation papers use them, through sacremoses."""

import dataclasses
import functools
import importlib

from research.preprocessing.randomness import Randomness
from research.preprocessing.text.base import TokenizerError
from research.preprocessing.transform import Features, Transform, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moses(Transform):
  """Parts words and punctuation of texts by spaces. Needs the extra `translation`.

  Attributes:
    text: the feature that is read.
    to: the feature that is made; the same name replaces it.
    language: whose rules, as two letters.
    lower: whether all is put in lower case first.
    normalize: whether quotation marks, dashes and the like are made plain.
    escape: whether signs that Moses' tables give a meaning become entities (&apos; for an apostrophe).
    split_hyphens: whether a-b becomes a @-@ b.
  """

  text: str
  to: str
  language: str
  lower: bool = False
  normalize: bool = True
  escape: bool = True
  split_hyphens: bool = False

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    return {**features, self.to: [self.tokenize(text) for text in take(features, self.text, self)]}

  def tokenize(self, text: str) -> str:
    """The tokens with a space between them. Raises TokenizerError where the extra is not installed."""
    text = text.lower() if self.lower else text
    if self.normalize:
      text = _tool("MosesPunctNormalizer", self.language).normalize(text)
    return _tool("MosesTokenizer", self.language).tokenize(
        text, return_str=True, escape=self.escape, aggressive_dash_splits=self.split_hyphens)

  def detokenize(self, text: str) -> str:
    """Tokens back to text as people write it; case and what `normalize` made plain stay as they are."""
    return _tool("MosesDetokenizer", self.language).detokenize(text.split(), return_str=True, unescape=self.escape)


@functools.cache
def _tool(name: str, language: str):
  return getattr(extra("sacremoses"), name)(lang=language)


def extra(module: str):
  """Imports a module of the extra `translation`. Raises TokenizerError."""
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError:
    raise TokenizerError(f"{module.partition('.')[0]} is not installed: pip install 'fieldwork[translation]'") from None
