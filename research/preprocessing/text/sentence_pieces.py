"""SentencePiece models: as they are (T5, ALBERT), and with ids of their own file (Marian)."""

import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
import sentencepiece

from research.preprocessing.text.base import SETTINGS_FILE, Tokenizer, TokenizerError, read_json, write_json

_LANGUAGE = re.compile(r">>.+?<<")


class SentencePieceTokenizer(Tokenizer):
  """A SentencePiece model. See Tokenizer.

  Args:
    model: the bytes of a .model file.
    num_extra: ids behind the model's that stand for nothing in a text; T5 has 100 of them.
  """

  threaded = True

  def __init__(self, model: bytes, num_extra: int = 0):
    self._model, self._num_extra = model, num_extra
    self._processor = _processor(model)
    self.vocab_size = self._processor.vocab_size() + num_extra
    ids = (self._processor.pad_id(), self._processor.bos_id(), self._processor.eos_id(), self._processor.unk_id())
    self.pad_id, self.bos_id, self.eos_id, self.unk_id = (i if i >= 0 else None for i in ids)

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    return [np.array(ids, np.int32) for ids in self._processor.encode(list(texts), num_threads=-1)]

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    size = self._processor.vocab_size()
    return [self._processor.decode((a := np.asarray(i))[a < size].tolist()) for i in ids]

  def token(self, id: int) -> str:
    return self._processor.id_to_piece(id) if id < self._processor.vocab_size() else f"<extra_id_{self.vocab_size - 1 - id}>"

  def save(self, folder: pathlib.Path) -> None:
    (folder / "spiece.model").write_bytes(self._model)
    write_json(folder / SETTINGS_FILE, {"kind": "sentencepiece", "num_extra": self._num_extra})


class MarianTokenizer(Tokenizer):
  """One side of a Marian model: SentencePiece cuts, vocab.json numbers, which both sides share. See Tokenizer.

  Args:
    model: the bytes of source.spm or target.spm.
    vocabulary: piece to id, with "</s>", "<unk>" and "<pad>".
  """

  def __init__(self, model: bytes, vocabulary: Mapping[str, int]):
    missing = [token for token in ("</s>", "<unk>", "<pad>") if token not in vocabulary]
    if missing:
      raise TokenizerError(f"vocab.json has no {missing[0]!r}: it is no vocabulary of Marian's")
    self._model, self._ids, self._processor = model, dict(vocabulary), _processor(model)
    self._pieces = {i: piece for piece, i in vocabulary.items()}
    self.vocab_size = max(self._pieces) + 1
    self.pad_id, self.eos_id, self.unk_id = vocabulary["<pad>"], vocabulary["</s>"], vocabulary["<unk>"]

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    found = []
    for text in texts:
      code = _LANGUAGE.match(text)  # >>fra<< in front of a text asks a model of several languages for one
      pieces = self._processor.encode(text[code.end():] if code else text, out_type=str)
      ids = [self._ids.get(piece, self.unk_id) for piece in ([code[0], *pieces] if code else pieces)]
      found.append(np.array(ids, np.int32))
    return found

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    marks = (self.pad_id, self.eos_id)
    return [self._processor.decode([self.token(i) for i in np.asarray(row).tolist() if i not in marks]) for row in ids]

  def token(self, id: int) -> str:
    return self._pieces.get(id, "<unk>")

  def save(self, folder: pathlib.Path) -> None:
    (folder / "source.spm").write_bytes(self._model)
    write_json(folder / "vocab.json", self._ids)
    write_json(folder / SETTINGS_FILE, {"kind": "marian"})


def load_sentence_pieces(path: pathlib.Path, num_extra: int = 0) -> SentencePieceTokenizer:
  """Reads a .model or .spm file. Raises TokenizerError."""
  return _named(path, lambda: SentencePieceTokenizer(path.read_bytes(), num_extra))


def load_marian(folder: pathlib.Path, side: str) -> MarianTokenizer:
  """Reads source.spm or target.spm, and vocab.json. Raises TokenizerError."""
  path, vocabulary = folder / f"{side}.spm", read_json(folder / "vocab.json")
  return _named(path, lambda: MarianTokenizer(path.read_bytes(), vocabulary))


def _named(path: pathlib.Path, make):
  try:
    return make()
  except OSError as error:
    raise TokenizerError(f"{path} cannot be read: {error.strerror}") from None
  except TokenizerError as error:
    raise TokenizerError(f"{path}: {error}") from None


def _processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
  processor = sentencepiece.SentencePieceProcessor()
  try:
    processor.LoadFromSerializedProto(model)
  except Exception as error:  # the library raises plain exceptions
    raise TokenizerError(f"damaged or no SentencePiece model ({' '.join(str(error).split())})") from None
  return processor
