"""Where a tokenizer comes from: bytes need none, published ones are stored, others are trained once on a training split."""

import dataclasses
import functools
import hashlib
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Literal

import numpy as np

from research.config import to_json
from research.data import cache
from research.data.examples import Examples
from research.data.files import find
from research.data.sources import Source
from research.data.text import texts_of
from research.preprocessing.text.base import Tokenizer, TokenizerError
from research.preprocessing.text.characters import ByteTokenizer
from research.preprocessing.text.loading import load
from research.preprocessing.text.training import TokenizerTraining

_BLOCK = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerSource:
  """Base of all."""

  def open(self, data_dir: str | None) -> Tokenizer:
    """Reads or makes the tokenizer.

    Args:
      data_dir: the folder that file names refer to, or None.

    Raises:
      DataError: its files or its texts are missing or damaged.
      TokenizerError: its files are no tokenizer, or the texts do not suffice for one.
    """
    raise TypeError(f"{type(self).__name__} defines no open")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bytes(TokenizerSource):
  """A text's UTF-8 bytes."""

  def open(self, data_dir: str | None) -> Tokenizer:
    return ByteTokenizer()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored(TokenizerSource):
  """A folder with a published tokenizer's files; see `research.preprocessing.text.loading.load`.

  Attributes:
    path: the folder, below the data folder.
    side: which one of Marian's two.
  """

  path: str
  side: Literal["source", "target"] = "source"

  def open(self, data_dir: str | None) -> Tokenizer:
    return _load(pathlib.Path(find(data_dir, self.path)), self.side)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained(TokenizerSource):
  """A tokenizer trained on texts, once: the cache keeps it under a hash of the corpus and the settings.

  Attributes:
    settings: what is trained.
    corpus: the texts: the training split, for all splits.
    texts: the fields of the corpus that are read, one after the other.
  """

  settings: TokenizerTraining
  corpus: Source
  texts: tuple[str, ...] = ("text",)

  def open(self, data_dir: str | None) -> Tokenizer:
    what = json.dumps([self.corpus.digest(data_dir), list(self.texts), to_json(self.settings)], sort_keys=True)
    key = hashlib.sha256(what.encode()).hexdigest()[:16]

    def make(folder: pathlib.Path) -> None:
      examples = self.corpus.open(data_dir)
      texts = itertools.chain.from_iterable(_texts(examples, name) for name in self.texts)
      try:
        self.settings.train(texts).save(folder)
      except TokenizerError as error:
        raise TokenizerError(f"the tokenizer cannot be trained: {error}") from error

    return _load(cache.made_once("tokenizers", key, make), "source")


def _texts(examples: Examples, name: str) -> Iterator[str]:
  for start in range(0, len(examples), _BLOCK):
    indices = np.arange(start, min(start + _BLOCK, len(examples)))
    yield from texts_of(examples.raw(indices), name, examples.key(start))


@functools.lru_cache(maxsize=16)  # the splits share one
def _load(folder: pathlib.Path, side: Literal["source", "target"]) -> Tokenizer:
  return load(folder, side)
