"""A list of tokens and their numbers: what tokenizers of characters, words and subwords look up."""

import collections
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from research.preprocessing.text.base import Tokenizer, TokenizerError

Special = Literal["<pad>", "<s>", "</s>", "<unk>"]
_MARKS = ("<pad>", "<s>", "</s>")


class Vocabulary:
  """Tokens by their ids.

  Args:
    tokens: all different; those that are `Special` are taken as such.

  Attributes:
    tokens: as given.
    pad_id, bos_id, eos_id, unk_id: where the special ones stand, or None.
  """

  def __init__(self, tokens: Sequence[str]):
    self.tokens = tuple(tokens)
    self._ids = {token: n for n, token in enumerate(self.tokens)}
    if len(self._ids) != len(self.tokens):
      twice = next(token for token, count in collections.Counter(self.tokens).items() if count > 1)
      raise TokenizerError(f"the vocabulary has {twice!r} more than once")
    self.pad_id, self.bos_id, self.eos_id, self.unk_id = (self._ids.get(s) for s in (*_MARKS, "<unk>"))
    self._marks = {self._ids.pop(mark) for mark in _MARKS if mark in self._ids}  # a text that spells them means no marks

  @classmethod
  def of(cls, counts: collections.Counter, specials: Sequence[str], *, min_count: int = 1,
         limit: int | None = None) -> "Vocabulary":
    """The special tokens, then the counted ones: the most frequent first, equally frequent ones in alphabetical order.

    Args:
      counts: of the tokens.
      specials: what stands first.
      min_count: rarer ones are left out.
      limit: the size of the whole; None sets none.
    """
    kept = [token for token, count in counts.items() if count >= min_count and token not in specials]
    ranked = sorted(kept, key=lambda token: (-counts[token], token))
    return cls([*specials, *ranked][:limit])

  def __len__(self) -> int:
    return len(self.tokens)

  def encode(self, tokens: Iterable[str]) -> np.ndarray:
    """Ids (T,) int32. Raises TokenizerError for a token that is not there when there is no <unk> either."""
    unknown = self.unk_id
    if unknown is None:
      try:
        return np.array([self._ids[token] for token in tokens], np.int32)
      except KeyError as error:
        raise TokenizerError(f"{error.args[0]!r} is none of the tokenizer's {len(self)} tokens, and it has no <unk>") from None
    return np.array([self._ids.get(token, unknown) for token in tokens], np.int32)

  def decode(self, ids: np.ndarray) -> list[str]:
    """The tokens without the marks of padding, begin and end."""
    return [self.tokens[i] for i in np.asarray(ids).tolist() if i not in self._marks]


class VocabularyTokenizer(Tokenizer):
  """Base of tokenizers that look up tokens in a vocabulary."""

  def __init__(self, vocabulary: Vocabulary):
    self._vocabulary, self.vocab_size = vocabulary, len(vocabulary)
    self.pad_id, self.bos_id, self.eos_id = vocabulary.pad_id, vocabulary.bos_id, vocabulary.eos_id
    self.unk_id = vocabulary.unk_id

  def token(self, id: int) -> str:
    return self._vocabulary.tokens[id]
