"""What every tokenizer is: text to numbers and back, and a folder of files that holds it."""

import functools
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from research.config import ConfigError, UserError

SETTINGS_FILE = "fieldwork_tokenizer.json"


class TokenizerError(UserError):
  """A tokenizer's file that is missing, unknown or damaged, or text that it cannot take."""


class Tokenizer:
  """Base of all: turns texts into ids 0..vocab_size-1 and back. Adds no marks of begin and end, but has their ids.

  Attributes:
    vocab_size: one more than the largest id.
    pad_id, bos_id, eos_id, unk_id: of padding, begin, end and of what has no id; None where there is none.
    threaded: whether `encode` uses all processor cores by itself.
  """

  vocab_size: int
  pad_id: int | None = None
  bos_id: int | None = None
  eos_id: int | None = None
  unk_id: int | None = None
  threaded: bool = False

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    """The ids of each text, int32 (T,). Raises TokenizerError for a text that has none."""
    raise TypeError(f"{type(self).__name__} defines no encode")

  def decode(self, ids: Sequence[np.ndarray]) -> list[str]:
    """The text of each sequence of ids, without what pad_id, bos_id and eos_id mark."""
    raise TypeError(f"{type(self).__name__} defines no decode")

  def token(self, id: int) -> str:
    """How a person is shown one id."""
    raise TypeError(f"{type(self).__name__} defines no token")

  def save(self, folder: pathlib.Path) -> None:
    """Writes the files that `research.preprocessing.text.loading.load` reads."""
    raise TypeError(f"{type(self).__name__} defines no save")


@functools.lru_cache(maxsize=32)
def digest(tokenizer: Tokenizer) -> str:
  """16 hexadecimal digits over the tokenizer's files: equal for tokenizers that do the same."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    tokenizer.save(folder)
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
      total.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
  return total.hexdigest()[:16]


def check_vocabulary(tokenizer: Tokenizer, num_embeddings: int, field: str) -> None:
  """Raises ConfigError if a network has too few embeddings.

  Args:
    tokenizer: whose ids are looked up.
    num_embeddings: rows of the table.
    field: the setting that says how many, for the message.
  """
  if tokenizer.vocab_size > num_embeddings:
    raise ConfigError(f"{field}={num_embeddings}: the tokenizer has {tokenizer.vocab_size} ids, give at least as many")


def read_text(path: pathlib.Path) -> str:
  """A UTF-8 file. Raises TokenizerError."""
  try:
    return path.read_text(encoding="utf-8")
  except UnicodeDecodeError as error:
    raise TokenizerError(f"{path} is no UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
  except OSError as error:
    raise TokenizerError(f"{path} cannot be read: {error.strerror}") from None


def read_json(path: pathlib.Path) -> dict:
  """A JSON file that holds an object. Raises TokenizerError."""
  try:
    found = json.loads(read_text(path))
  except ValueError as error:
    if isinstance(error, TokenizerError):
      raise
    raise TokenizerError(f"{path} is damaged: {error}") from None
  if not isinstance(found, dict):
    raise TokenizerError(f"{path} is damaged: it is no JSON object")
  return found


def write_json(path: pathlib.Path, data: dict) -> None:
  """Writes JSON that people can read, the same for the same data."""
  path.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")


def surrogate_error(text: str, name: str) -> TokenizerError:
  """What is said of half a character (U+D800 to U+DFFF), which no file can hold."""
  at = next(n for n, character in enumerate(text) if "\ud800" <= character <= "\udfff")
  return TokenizerError(f"{name}: character {at} of a text is {ord(text[at]):#x}, half of a pair, which has no UTF-8 form")
