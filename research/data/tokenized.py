"""Texts of another source as numbers: tokenized once, kept on disk as one flat array a feature, read from there at random."""

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Iterable, Iterator

import numpy as np
from absl import logging
from etils import epath

from research import process
from research.config import ConfigError
from research.data import cache
from research.data.examples import DataError, Examples, warn_once
from research.data.intake import Intake
from research.data.sources import Source
from research.data.text import Transformed, texts_of
from research.data.vocabulary import TokenizerSource
from research.preprocessing.text.base import Tokenizer, digest
from research.preprocessing.text.encoding import Encode, marked
from research.preprocessing.transform import Features

_FORMAT = 2  # of the cache's files and of what is in them: a higher number makes all of them anew
_BLOCK, _MANY = 2000, 100_000
_SECONDS_BETWEEN_LINES = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens:
  """A ragged feature, int32 (T,), made of a text.

  Attributes:
    name: of the feature.
    text: the field of the source that it is made of.
    pair: a second field, whose tokens come behind an end id (GLUE's sentence pairs); None where there is one only.
    separators: how many end ids stand between the two.
    tokenizer: what makes ids of it.
    bos: whether the begin id comes first.
    eos: whether the end id comes last.
    max_length: longer ones are cut, begin and end counted in but kept; of a pair, the longer text loses. None cuts none.
    counted: the field whose bytes and words language models are scored by (see TokenWindows); None for `text`.
  """

  name: str
  text: str
  pair: str | None = None
  separators: int = 1
  tokenizer: TokenizerSource
  bos: bool = False
  eos: bool = False
  max_length: int | None = None
  counted: str | None = None

  def __post_init__(self):
    between = 0 if self.pair is None else self.separators
    if self.max_length is not None and self.max_length < (least := 1 + self.bos + between + self.eos):
      raise ConfigError(f"max_length={self.max_length} of {self.name}: must be {least} or more, or None")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenized(Source):
  """Another source's texts as ids. `raw` of its examples are the source's own features.

  Attributes:
    source: where the texts are.
    features: what is made of them.
    keep: fields of the source that are features as they are, such as labels.
  """

  source: Source
  features: tuple[Tokens, ...]
  keep: tuple[str, ...] = ()

  def __post_init__(self):
    super().__post_init__()
    names = [*(feature.name for feature in self.features), *self.keep]
    if len(set(names)) != len(names) or not self.features:
      raise ConfigError(f"Tokenized: the features must be one or more of different names, not {', '.join(names)}")

  def open_all(self, data_dir: str | None) -> "TokenizedExamples":
    tokenizers = {feature.name: feature.tokenizer.open(data_dir) for feature in self.features}
    for feature in self.features:
      _check_marks(feature, tokenizers[feature.name])
    what = [_FORMAT, self.source.digest(data_dir)]
    for feature in self.features:
      settings = {f.name: getattr(feature, f.name) for f in dataclasses.fields(feature) if f.name != "tokenizer"}
      what.append([settings, digest(tokenizers[feature.name])])
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    examples = self.source.open(data_dir)
    threaded = all(t.threaded for t in tokenizers.values()) and not isinstance(self.source, Transformed)
    folder = cache.made_once("tokens", key, lambda folder: _write(folder, examples, self.features, tokenizers, threaded))
    for feature in self.features:
      _tell(feature, json.loads((folder / f"{feature.name}.json").read_text()), len(examples))
    columns = {feature.name: RaggedFile(folder / feature.name) for feature in self.features}
    return TokenizedExamples(examples, columns, tokenizers, self.keep)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return self.source.files(data_dir)

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return self.source.class_names(data_dir)

  def intake(self, data_dir: str | None) -> Intake:
    settings = lambda f: {k.name: getattr(f, k.name) for k in dataclasses.fields(f) if k.name not in ("tokenizer", "counted")}
    encode = tuple(Encode(tokenizer=f"tokenizers/{f.name}", **settings(f)) for f in self.features)
    tokenizers = {f"tokenizers/{f.name}": f.tokenizer.open(data_dir) for f in self.features}
    return self.source.intake(data_dir).then(encode, tokenizers=tokenizers).part(self)


class RaggedFile:
  """Sequences of unequal lengths in a file: all of them one after another, and where each begins.

  Args:
    path: without suffix; `.ids` holds the numbers, `.offsets.npy` the n + 1 offsets, `.json` their type, `.sizes.npy` sizes.

  Attributes:
    ids: all of them, mapped into memory.
    offsets: (n + 1,) int64.
    sizes: (2, n) int64, the bytes in UTF-8 and the words, as blanks part them, of each whole text (of a pair, of the first).
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    dtype = np.dtype(json.loads(path.with_suffix(".json").read_text())["dtype"])
    self.offsets = np.asarray(np.load(path.with_suffix(".offsets.npy"), mmap_mode="r"))
    self.sizes = np.asarray(np.load(path.with_suffix(".sizes.npy"), mmap_mode="r"))
    size = path.with_suffix(".ids").stat().st_size
    if size != self.offsets[-1] * dtype.itemsize:
      raise DataError(f"{path.with_suffix('.ids')} is damaged: remove the folder {path.parent}, it is made anew")
    # As a plain array over the mapped memory: slices of the memmap class cost ten times as much.
    self.ids = np.asarray(np.memmap(path.with_suffix(".ids"), dtype, mode="r")) if size else np.zeros(0, dtype)

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, index: int) -> np.ndarray:
    return self.ids[self.offsets[index]:self.offsets[index + 1]].astype(np.int32)

  def __reduce__(self):
    return RaggedFile, (self._path,)  # worker processes map the file themselves


class TokenizedExamples(Examples):
  """What Tokenized opens to.

  Attributes:
    columns: feature to its ids.
  """

  in_memory = True

  def __init__(self, examples: Examples, columns: dict[str, RaggedFile], tokenizers: dict[str, Tokenizer],
               keep: tuple[str, ...]):
    self._examples, self.columns, self._tokenizers, self._keep = examples, columns, tokenizers, keep

  def __len__(self) -> int:
    return len(self._examples)

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    kept = {name: length for name, length in self._examples.lengths.items() if name in self._keep}
    return {**kept, **{name: np.diff(column.offsets) for name, column in self.columns.items()}}

  @property
  def tokenizers(self) -> dict[str, Tokenizer]:
    return self._tokenizers

  def read(self, indices: np.ndarray) -> Features:
    ids: Features = {name: [column[int(i)] for i in indices] for name, column in self.columns.items()}
    if not self._keep:
      return ids
    others = self._examples.read(indices)
    missing = [name for name in self._keep if name not in others]
    if missing:
      raise DataError(f"Tokenized: there is no {missing[0]!r} to keep, only {', '.join(others)}")
    return {**ids, **{name: others[name] for name in self._keep}}

  def raw(self, indices: np.ndarray) -> Features:
    return self._examples.raw(indices)

  def key(self, index: int) -> str:
    return self._examples.key(index)


def _check_marks(feature: Tokens, tokenizer: Tokenizer) -> None:
  needed = {"bos": feature.bos, "eos": feature.eos or (feature.pair is not None and feature.separators > 0)}
  for mark, asked in needed.items():
    if asked and getattr(tokenizer, f"{mark}_id") is None:
      raise ConfigError(f"{mark} of {feature.name}: the tokenizer has no such id; give {mark}=False, or one that has it")


def _tell(feature: Tokens, counts: dict, num: int) -> None:
  if counts["empty"] or counts["truncated"]:
    cut = f", {counts['truncated']} truncated to {feature.max_length} tokens" if counts["truncated"] else ""
    warn_once(f"{feature.name} of {num} examples: {counts['empty']} empty{cut}")


# --- making the files ------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Part:
  """A feature of some consecutive examples: their ids one after another, their lengths, sizes, and what is told of them."""

  ids: np.ndarray
  lengths: np.ndarray
  sizes: np.ndarray
  empty: int
  truncated: int


class _Encoder:
  """Reads and tokenizes blocks of examples; worker processes get it as a whole."""

  def __init__(self, examples: Examples, features: tuple[Tokens, ...], tokenizers: dict[str, Tokenizer], block: int):
    self._examples, self._features, self._tokenizers, self.block = examples, features, tokenizers, block

  def __call__(self, start: int) -> list[_Part]:
    read = self._examples.raw(np.arange(start, min(start + self.block, len(self._examples))))
    return [self._encode(feature, read, start) for feature in self._features]

  def _encode(self, feature: Tokens, read: Features, start: int) -> _Part:
    tokenizer = self._tokenizers[feature.name]
    key = self._examples.key(start)
    first = texts_of(read, feature.text, key)
    second = None if feature.pair is None else texts_of(read, feature.pair, key)
    rows, empty, truncated = marked(tokenizer, first, second, separators=feature.separators, bos=feature.bos, eos=feature.eos,
                                    max_length=feature.max_length)
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
    counted = first if feature.counted is None else texts_of(read, feature.counted, key)
    sizes = np.array([[len(text.encode()) for text in counted], [len(text.split()) for text in counted]], np.int64)
    lengths = np.array([len(row) for row in rows], np.int64)
    return _Part(np.concatenate(rows).astype(dtype), lengths, sizes, empty, truncated)


def _write(folder: pathlib.Path, examples: Examples, features: tuple[Tokens, ...], tokenizers: dict[str, Tokenizer],
           threaded: bool) -> None:
  """Tokenizes all examples into the files of RaggedFile; what is written need not fit into memory."""
  num = len(examples)
  encoder = _Encoder(examples, features, tokenizers, _BLOCK)
  lengths, sizes = ({feature.name: [] for feature in features} for _ in range(2))
  dtypes: dict[str, str] = {}
  counts = {feature.name: {"empty": 0, "truncated": 0} for feature in features}
  files = {feature.name: (folder / f"{feature.name}.ids").open("wb") for feature in features}
  try:
    for parts in _progress(_blocks(encoder, num, threaded), num):
      for feature, part in zip(features, parts, strict=True):
        files[feature.name].write(part.ids.tobytes())
        lengths[feature.name].append(part.lengths)
        sizes[feature.name].append(part.sizes)
        dtypes[feature.name] = part.ids.dtype.name
        counts[feature.name]["empty"] += part.empty
        counts[feature.name]["truncated"] += part.truncated
  finally:
    for file in files.values():
      file.close()
  for name, found in lengths.items():
    np.save(folder / f"{name}.offsets.npy", np.cumsum(np.concatenate([[0], *found]), dtype=np.int64))
    np.save(folder / f"{name}.sizes.npy", np.concatenate(sizes[name], axis=1))
    (folder / f"{name}.json").write_text(json.dumps({"dtype": dtypes[name], **counts[name]}))


def _blocks(encoder: _Encoder, num: int, threaded: bool) -> Iterator[list[_Part]]:
  starts = range(0, num, encoder.block)
  if threaded or num < _MANY or process.cores() == 1:
    yield from map(encoder, starts)
    return
  context = multiprocessing.get_context("spawn")  # a fork of a process with JAX's threads may hang
  with concurrent.futures.ProcessPoolExecutor(process.cores(), context, _start_worker, (encoder,)) as pool:
    yield from pool.map(_encode_in_worker, starts)


_worker_encoder: _Encoder | None = None


def _start_worker(encoder: _Encoder) -> None:
  global _worker_encoder
  os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for every core already
  _worker_encoder = encoder


def _encode_in_worker(start: int) -> list[_Part]:
  assert _worker_encoder is not None
  return _worker_encoder(start)


def _progress(blocks: Iterable[list[_Part]], num: int) -> Iterator[list[_Part]]:
  begin = said = time.monotonic()
  for number, parts in enumerate(blocks, 1):
    yield parts
    if (now := time.monotonic()) - said > _SECONDS_BETWEEN_LINES:
      said, done = now, min(number * _BLOCK, num)
      logging.warning("tokenized %d of %d examples, %.0f s left", done, num, (now - begin) / done * (num - done))
