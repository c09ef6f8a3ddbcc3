"""From texts to ids with the marks of begin, end and what is between two texts."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from research.preprocessing.randomness import Randomness
from research.preprocessing.text.base import Tokenizer
from research.preprocessing.text.loading import load
from research.preprocessing.transform import Features, Transform, take


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encode(Transform):
  """Makes ids, int32 (T,), of a text.

  Attributes:
    name: the feature that is made.
    text: the feature that is read.
    pair: a second text, whose ids come behind an end id; None where there is one only.
    separators: how many end ids stand between the two.
    tokenizer: the folder that holds the tokenizer.
    bos: whether the begin id comes first.
    eos: whether the end id comes last.
    max_length: longer ones are cut, begin and end counted in but kept; of a pair, the longer text loses. None cuts none.
  """

  name: str
  text: str
  pair: str | None = None
  separators: int = 1
  tokenizer: str
  bos: bool = False
  eos: bool = False
  max_length: int | None = None

  def at(self, folder: pathlib.Path) -> "Encode":
    return dataclasses.replace(self, tokenizer=str(folder / self.tokenizer))

  def __call__(self, features: Features, random: Randomness | None) -> Features:
    texts, pair = take(features, self.text, self), None if self.pair is None else take(features, self.pair, self)
    rows, _, _ = marked(stored(self.tokenizer), list(texts), None if pair is None else list(pair), separators=self.separators,
                        bos=self.bos, eos=self.eos, max_length=self.max_length)
    return {**features, self.name: rows}


@functools.lru_cache(maxsize=16)
def stored(folder: str) -> Tokenizer:
  """The tokenizer in a folder, read once. Raises TokenizerError."""
  return load(pathlib.Path(folder))


def marked(tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None, *, separators: int, bos: bool, eos: bool,
           max_length: int | None) -> tuple[list[np.ndarray], int, int]:
  """The ids of each text as `Encode` makes them, how many texts are empty, and how many are cut."""
  first = tokenizer.encode(texts)
  second = [None] * len(first) if pairs is None else tokenizer.encode(pairs)
  marks = lambda id, count: np.full(count, -1 if id is None else id, np.int32)
  before, after = marks(tokenizer.bos_id, int(bos)), marks(tokenizer.eos_id, int(eos))
  between = marks(tokenizer.eos_id, separators)
  rows, empty, truncated = [], 0, 0
  for a, b in zip(first, second):
    empty += not len(a) and not (b is not None and len(b))
    parts = [before, a, after] if b is None else [before, a, between, b, after]
    over = 0 if max_length is None else sum(map(len, parts)) - max_length
    if over > 0:
      truncated += 1
      parts = [before, a[:len(a) - over], after] if b is None else [before, *_shorten(a, b, over, between), after]
    rows.append(np.concatenate(parts))
  return rows, empty, truncated


def _shorten(a: np.ndarray, b: np.ndarray, over: int, between: np.ndarray) -> list[np.ndarray]:
  """Cuts `over` ids off the ends of a and b, so that the longer of them loses first."""
  left = max(len(a) + len(b) - over, 0)
  keep_a = min(len(a), max(left - len(b), (left + 1) // 2))
  keep_b = min(len(b), left - keep_a)
  return [a[:keep_a], between, b[:keep_b]]
