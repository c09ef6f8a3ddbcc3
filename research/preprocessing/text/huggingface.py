"""Tokenizers of the library `tokenizers`: byte-level BPE, unigram, WordPiece and whatever else a tokenizer.json says."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from research.preprocessing.text.base import (
    SETTINGS_FILE,
    Tokenizer,
    TokenizerError,
    read_json,
    read_text,
    surrogate_error,
    write_json,
)

# What published tokenizers call them, where no file beside says.
_NAMES = {
    "pad": ("<pad>", "[PAD]"),
    "bos": ("<s>", "[CLS]", "<bos>", "<|endoftext|>"),
    "eos": ("</s>", "[SEP]", "<eos>", "<|endoftext|>"),
    "unk": ("<unk>", "[UNK]"),
}


class HuggingFaceTokenizer(Tokenizer):
  """A tokenizer of the library. Text that spells a special token means its letters. See Tokenizer.

  Args:
    tokenizer: the library's object; its padding and truncation are turned off.
    specials: which token is "pad", "bos", "eos", "unk", where there is one.
  """

  threaded = True

  def __init__(self, tokenizer: tokenizers.Tokenizer, specials: Mapping[str, str]):
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    self._tokenizer, self._specials = tokenizer, dict(specials)
    self.vocab_size = max(tokenizer.get_vocab().values(), default=-1) + 1
    missing = [token for token in specials.values() if tokenizer.token_to_id(token) is None]
    if missing:
      raise TokenizerError(f"the tokenizer has no token {missing[0]!r}, which is said to be special")
    ids = {name: tokenizer.token_to_id(token) for name, token in specials.items()}
    self.pad_id, self.bos_id, self.eos_id, self.unk_id = (ids.get(name) for name in ("pad", "bos", "eos", "unk"))
    self._marks = [i for i in (self.pad_id, self.bos_id, self.eos_id) if i is not None]

  def __reduce__(self):
    return _restored, (self._tokenizer.to_str(), self._specials)  # the library's pickles forget what text may spell

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    try:
      found = [np.array(encoding.ids, np.int32) for batch in _batches(texts)
               for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
    except (UnicodeEncodeError, TypeError):
      broken = [text for text in texts if any("\ud800" <= character <= "\udfff" for character in text)]
      if broken:
        raise surrogate_error(broken[0], "tokenizer") from None
      raise
    return found

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    kept = [(a := np.asarray(i))[~np.isin(a, self._marks)].tolist() for i in ids]
    return self._tokenizer.decode_batch(kept, skip_special_tokens=False)

  def token(self, id: int) -> str:
    return self._tokenizer.id_to_token(id) or f"<{id}>"

  def save(self, folder: pathlib.Path) -> None:
    self._tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / SETTINGS_FILE, {"kind": "huggingface", "specials": self._specials})


def _restored(text: str, specials: Mapping[str, str]) -> HuggingFaceTokenizer:
  return HuggingFaceTokenizer(tokenizers.Tokenizer.from_str(text), specials)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
  """The texts in batches of about a million characters: the library needs a hundred bytes for each token of a batch."""
  batch, size = [], 0
  for text in texts:
    batch.append(text)
    size += len(text)
    if size > 2**20:
      yield batch
      batch, size = [], 0
  if batch:
    yield batch


def load_json(folder: pathlib.Path) -> HuggingFaceTokenizer:
  """Reads a tokenizer.json, and what stands beside it of special tokens. Raises TokenizerError."""
  path = folder / "tokenizer.json"
  text = read_text(path)
  try:
    tokenizer = tokenizers.Tokenizer.from_str(text)
  except Exception as error:  # the library raises plain exceptions
    raise TokenizerError(f"{path} is damaged or no tokenizer: {' '.join(str(error).split())}") from None
  return HuggingFaceTokenizer(tokenizer, _specials(folder, tokenizer))


def load_byte_pairs(folder: pathlib.Path) -> HuggingFaceTokenizer:
  """Reads a byte-level BPE's vocab.json and merges.txt (GPT-2, RoBERTa, BART). Raises TokenizerError."""
  vocabulary, text = read_json(folder / "vocab.json"), read_text(folder / "merges.txt")
  lines = [line for line in text.split("\n") if line and not line.startswith("#version")]
  merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
  try:
    model = models.BPE(vocab=vocabulary, merges=merges)
  except Exception as error:
    raise TokenizerError(f"{folder}: vocab.json and merges.txt do not go together: {error}") from None
  tokenizer = byte_level(model)
  known = {name for names in _NAMES.values() for name in names} | {"<mask>"}
  tokenizer.add_special_tokens([token for token in vocabulary if token in known])
  return HuggingFaceTokenizer(tokenizer, _specials(folder, tokenizer))


def byte_level(model: models.Model) -> tokenizers.Tokenizer:
  """A tokenizer that works on the bytes of GPT-2's words, so that every text comes back exactly."""
  tokenizer = tokenizers.Tokenizer(model)
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
  tokenizer.decoder = decoders.ByteLevel()
  return tokenizer


def _specials(folder: pathlib.Path, tokenizer: tokenizers.Tokenizer) -> dict[str, str]:
  if (own := folder / SETTINGS_FILE).exists():
    return read_json(own)["specials"]
  said: dict[str, str] = {}
  for file in ("tokenizer_config.json", "special_tokens_map.json"):
    if (folder / file).exists():
      for key, value in read_json(folder / file).items():
        token = value.get("content") if isinstance(value, dict) else value
        if isinstance(token, str):
          said[key] = token
  found = {}
  for name, usual in _NAMES.items():
    other = {"bos": "cls_token", "eos": "sep_token"}.get(name, "")
    candidates = [said.get(f"{name}_token"), said.get(other)] if said else usual
    known = [token for token in candidates if token is not None and tokenizer.token_to_id(token) is not None]
    if known:
      found[name] = known[0]
  return found
