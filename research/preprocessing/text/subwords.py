"""BPE by subword-nmt, which cuts words that spaces part (Sennrich, Haddow, Birch 2016, ACL)."""

import io
import pathlib
from collections.abc import Sequence

import numpy as np

from research.preprocessing.text.base import SETTINGS_FILE, write_json
from research.preprocessing.text.moses import extra
from research.preprocessing.text.vocabulary import Vocabulary, VocabularyTokenizer


class SubwordTokenizer(VocabularyTokenizer):
  """Words in pieces, all but a word's last ending in @@; decoded to words again. See Tokenizer.

  Args:
    codes: the merges as subword-nmt writes them.
    vocabulary: the pieces.
  """

  def __init__(self, codes: str, vocabulary: Vocabulary):
    super().__init__(vocabulary)
    self._codes, self._pairs = codes, cutter(codes)

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    return [self._vocabulary.encode(self._pairs.segment(text).split()) for text in texts]

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    return [" ".join(self._vocabulary.decode(i)).replace("@@ ", "").removesuffix("@@") for i in ids]

  def save(self, folder: pathlib.Path) -> None:
    (folder / "codes.bpe").write_text(self._codes, encoding="utf-8")
    write_json(folder / SETTINGS_FILE, {"kind": "subwords", "tokens": self._vocabulary.tokens})


def cutter(codes: str):
  """subword-nmt's object, whose `segment` cuts a line. Raises TokenizerError where the extra is not installed."""
  return extra("subword_nmt.apply_bpe").BPE(io.StringIO(codes))
