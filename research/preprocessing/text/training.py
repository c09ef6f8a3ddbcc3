"""Tokenizers made from texts: each setting trains one, the same from the same texts."""

import collections
import contextlib
import dataclasses
import io
from collections.abc import Iterable
from typing import Literal

import numpy as np
import sentencepiece
from tokenizers import models, pre_tokenizers, trainers

from research.config import ConfigError
from research.preprocessing.text.base import Tokenizer, TokenizerError
from research.preprocessing.text.characters import CharacterTokenizer
from research.preprocessing.text.huggingface import HuggingFaceTokenizer, byte_level
from research.preprocessing.text.moses import extra
from research.preprocessing.text.sentence_pieces import SentencePieceTokenizer
from research.preprocessing.text.subwords import SubwordTokenizer, cutter
from research.preprocessing.text.vocabulary import Special, Vocabulary
from research.preprocessing.text.words import Splitting, WordTokenizer, split

_ROLES = {"<pad>": "pad", "<s>": "bos", "</s>": "eos"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerTraining:
  """Base of all settings of tokenizers that are trained."""

  def train(self, texts: Iterable[str]) -> Tokenizer:
    """Goes over the texts, once or more, and makes a tokenizer. Raises TokenizerError where they do not suffice for one."""
    raise TypeError(f"{type(self).__name__} defines no train")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Characters(TokenizerTraining):
  """All characters of the texts, in the order of their code points.

  Attributes:
    specials: what stands before them. Without <unk> a character that did not occur is an error.
  """

  specials: tuple[Special, ...] = ()

  def train(self, texts: Iterable[str]) -> Tokenizer:
    found: set[str] = set()
    for text in texts:
      found.update(text)
    return CharacterTokenizer(Vocabulary([*self.specials, *sorted(found)]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words(TokenizerTraining):
  """The words of the texts, the most frequent first.

  Attributes:
    min_count: words that are rarer are unknown.
    max_size: of the vocabulary with the special tokens; None sets no limit.
    lower: whether case is given up.
    splitting: what parts words: spaces only, or punctuation too.
    specials: what stands before them.
  """

  min_count: int = 1
  max_size: int | None = None
  lower: bool = False
  splitting: Splitting = "spaces"
  specials: tuple[Special, ...] = ("<pad>", "<s>", "</s>", "<unk>")

  def train(self, texts: Iterable[str]) -> Tokenizer:
    counts: collections.Counter = collections.Counter()
    for text in texts:
      counts.update(split(text, self.splitting, self.lower))
    vocabulary = Vocabulary.of(counts, self.specials, min_count=self.min_count, limit=self.max_size)
    return WordTokenizer(vocabulary, self.splitting, self.lower)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BytePairs(TokenizerTraining):
  """Byte-level byte-pair encoding (Radford et al. 2019): no text is unknown and every text comes back exactly.

  Attributes:
    vocab_size: ids in all, at least 256 and one for each special token; fewer where the texts do not give as many.
    min_count: pairs that are rarer are not merged.
    specials: what stands before all others.
  """

  vocab_size: int
  min_count: int = 2
  specials: tuple[Literal["<pad>", "<s>", "</s>"], ...] = ("<pad>", "<s>", "</s>")

  def __post_init__(self):
    if self.vocab_size < (least := 256 + len(self.specials)):
      raise ConfigError(f"vocab_size={self.vocab_size}: must be {least} or more, for 256 bytes and {len(self.specials)} "
                        "special tokens")

  def train(self, texts: Iterable[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=self.vocab_size, min_frequency=self.min_count, special_tokens=list(self.specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer = byte_level(models.BPE())
    tokenizer.train_from_iterator(iter(texts), trainer=trainer)
    return HuggingFaceTokenizer(tokenizer, {_ROLES[token]: token for token in self.specials})


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePieces(TokenizerTraining):
  """A SentencePiece model (Kudo, Richardson 2018, EMNLP) with T5's special ids: padding 0, end 1, unknown 2, no begin.

  Texts are normalised by its rule nmt_nfkc, so that they do not come back exactly. Unigram models are trained here only:
  the library `tokenizers` makes another one every time.

  Attributes:
    vocab_size: ids in all.
    model: how pieces are found.
    character_coverage: the share of characters that get a piece; the others are unknown, or bytes.
    byte_fallback: whether unknown characters become bytes.
    max_texts: how many texts, drawn at random, it is trained on; None takes all.
  """

  vocab_size: int
  model: Literal["unigram", "bpe"] = "unigram"
  character_coverage: float = 0.9995
  byte_fallback: bool = False
  max_texts: int | None = None

  def train(self, texts: Iterable[str]) -> Tokenizer:
    written = io.BytesIO()
    sampled = texts if self.max_texts is None else _sample(texts, self.max_texts)  # the library's own differs every time
    try:
      sentencepiece.SentencePieceTrainer.train(
          sentence_iterator=iter(sampled), model_writer=written, vocab_size=self.vocab_size, model_type=self.model,
          character_coverage=self.character_coverage, byte_fallback=self.byte_fallback, max_sentence_length=2**20, pad_id=0,
          eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
    except RuntimeError as error:
      raise TokenizerError(f"SentencePieces(vocab_size={self.vocab_size}): {' '.join(str(error).split())}") from None
    return SentencePieceTokenizer(written.getvalue())


def _sample(texts: Iterable[str], num: int) -> list[str]:
  """`num` of the texts, each set of them equally likely (Vitter 1985, algorithm R); the same every time."""
  random, kept = np.random.RandomState(0), []
  for number, text in enumerate(texts):
    if number < num:
      kept.append(text)
    elif (at := random.randint(number + 1)) < num:
      kept[at] = text
  return kept


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subwords(TokenizerTraining):
  """subword-nmt's BPE over words that spaces part, as Moses leaves them; all pieces of the texts are the vocabulary.

  Attributes:
    num_merges: how many pairs are merged at most.
    min_count: pairs that are rarer are not merged.
    specials: what stands before the pieces.
  """

  num_merges: int
  min_count: int = 2
  specials: tuple[Special, ...] = ("<pad>", "<s>", "</s>", "<unk>")

  def train(self, texts: Iterable[str]) -> Tokenizer:
    words: collections.Counter = collections.Counter()
    for text in texts:
      words.update(text.split())
    codes = io.StringIO()
    counted = (f"{word} {count}\n" for word, count in words.items())
    with contextlib.redirect_stderr(io.StringIO()):  # it draws a progress bar
      extra("subword_nmt.learn_bpe").learn_bpe(counted, codes, self.num_merges, min_frequency=self.min_count, is_dict=True)
    pairs, counts = cutter(codes.getvalue()), collections.Counter()
    for word, count in words.items():
      for piece in pairs.segment(word).split():
        counts[piece] += count
    return SubwordTokenizer(codes.getvalue(), Vocabulary.of(counts, self.specials))
