"""Reads a tokenizer from a folder, whoever wrote it."""

import pathlib
from typing import Literal

from research.preprocessing.text import huggingface, sentence_pieces
from research.preprocessing.text.base import SETTINGS_FILE, Tokenizer, TokenizerError, read_json, read_text
from research.preprocessing.text.characters import ByteTokenizer, CharacterTokenizer, load_ctc
from research.preprocessing.text.subwords import SubwordTokenizer
from research.preprocessing.text.vocabulary import Vocabulary
from research.preprocessing.text.words import WordTokenizer

_KNOWN = ("tokenizer.json", "vocab.json + merges.txt", "source.spm + vocab.json", "vocab.json", "*.model", "*.spm",
          SETTINGS_FILE)


def load(folder: pathlib.Path, side: Literal["source", "target"] = "source") -> Tokenizer:
  """Finds out what is in a folder and reads it.

  Args:
    folder: one of ours, or of a published model.
    side: which one of Marian's two is meant; others have one only.

  Raises:
    TokenizerError: there is none, or it is damaged.
  """
  if not folder.is_dir():
    raise TokenizerError(f"{folder} is no folder: a tokenizer is a folder with {_either(_KNOWN)}")
  has = lambda *names: all((folder / name).exists() for name in names)
  if has(SETTINGS_FILE):
    return _own(folder)
  if has("source.spm", "vocab.json"):
    return sentence_pieces.load_marian(folder, side)
  if has("tokenizer.json"):
    return huggingface.load_json(folder)
  if has("vocab.json", "merges.txt"):
    return huggingface.load_byte_pairs(folder)
  models = sorted([*folder.glob("*.model"), *folder.glob("*.spm")])
  if len(models) > 1:
    raise TokenizerError(f"{folder} holds several SentencePiece models, {', '.join(m.name for m in models)}: keep one")
  if models:
    extra = read_json(folder / "tokenizer_config.json").get("extra_ids", 0) if has("tokenizer_config.json") else 0
    return sentence_pieces.load_sentence_pieces(models[0], extra)
  if has("vocab.json"):
    return load_ctc(folder)
  raise TokenizerError(f"{folder} holds no tokenizer: it needs {_either(_KNOWN)}")


def _own(folder: pathlib.Path) -> Tokenizer:
  settings = read_json(folder / SETTINGS_FILE)
  try:
    match settings["kind"]:
      case "bytes":
        return ByteTokenizer()
      case "characters":
        return CharacterTokenizer(Vocabulary(settings["tokens"]))
      case "words":
        return WordTokenizer(Vocabulary(settings["tokens"]), settings["splitting"], settings["lower"])
      case "subwords":
        return SubwordTokenizer(read_text(folder / "codes.bpe"), Vocabulary(settings["tokens"]))
      case "huggingface":
        return huggingface.load_json(folder)
      case "sentencepiece":
        return sentence_pieces.load_sentence_pieces(folder / "spiece.model", settings["num_extra"])
      case "marian":
        return sentence_pieces.load_marian(folder, "source")
  except KeyError as error:
    raise TokenizerError(f"{folder / SETTINGS_FILE} is damaged: it has no {error}") from None
  raise TokenizerError(f"{folder / SETTINGS_FILE}: kind {settings['kind']!r} is unknown; a newer version may have written it")


def _either(names) -> str:
  return f"{', '.join(names[:-1])} or {names[-1]}"
