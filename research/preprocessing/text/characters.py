"""Bytes and characters as tokens."""

import pathlib
from collections.abc import Sequence

import numpy as np

from research.preprocessing.text.base import SETTINGS_FILE, Tokenizer, TokenizerError, read_json, surrogate_error, write_json
from research.preprocessing.text.vocabulary import Vocabulary, VocabularyTokenizer


class ByteTokenizer(Tokenizer):
  """A text's UTF-8 bytes as ids 0..255, exactly; 256, 257, 258 are padding, begin and end. See Tokenizer."""

  vocab_size, pad_id, bos_id, eos_id = 259, 256, 257, 258

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    try:
      return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]
    except UnicodeEncodeError as error:
      raise surrogate_error(error.object, "bytes") from None

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    arrays = [np.asarray(i) for i in ids]
    return [a[a < 256].astype(np.uint8).tobytes().decode(errors="replace") for a in arrays]

  def token(self, id: int) -> str:
    return ("<pad>", "<s>", "</s>")[id - 256] if id > 255 else chr(id) if 32 < id < 127 else f"<{id:02x}>"

  def save(self, folder: pathlib.Path) -> None:
    write_json(folder / SETTINGS_FILE, {"kind": "bytes"})


class CharacterTokenizer(VocabularyTokenizer):
  """A token for each character of a vocabulary. See Tokenizer."""

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    return [self._vocabulary.encode(text) for text in texts]

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    return ["".join(self._vocabulary.decode(i)) for i in ids]

  def save(self, folder: pathlib.Path) -> None:
    write_json(folder / SETTINGS_FILE, {"kind": "characters", "tokens": self._vocabulary.tokens})


def load_ctc(folder: pathlib.Path) -> CharacterTokenizer:
  """Reads the vocab.json of a CTC network of transformers (wav2vec 2.0): characters, and a token that stands for the space.

  Raises TokenizerError.
  """
  ids = read_json(folder / "vocab.json")
  said = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
  if sorted(ids.values()) != list(range(len(ids))):
    raise TokenizerError(f"{folder / 'vocab.json'} is damaged: its ids must be 0 to {len(ids) - 1}")
  ours = {said.get("word_delimiter_token", "|"): " ", said.get("pad_token", "<pad>"): "<pad>",
          said.get("bos_token", "<s>"): "<s>", said.get("eos_token", "</s>"): "</s>", said.get("unk_token", "<unk>"): "<unk>"}
  return CharacterTokenizer(Vocabulary([ours.get(token, token) for token in sorted(ids, key=lambda token: ids[token])]))
