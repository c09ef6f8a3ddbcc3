"""Documents cut or packed to windows of one length, for language models. T: tokens of a window, B: windows."""

import dataclasses
from typing import Literal

import numpy as np
from etils import epath

from research.config import ConfigError
from research.data.examples import DataError, Examples
from research.data.intake import Intake
from research.data.sources import Source
from research.data.tokenized import RaggedFile, Tokenized
from research.preprocessing.text.base import Tokenizer
from research.preprocessing.text.encoding import Encode
from research.preprocessing.transform import Features


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenWindows(Source):
  """Windows over tokenized documents: `inputs` (T,), `targets` (T,) int32, each one token on, `segments` (T,) int32, the
  number of the document within the window from 1, 0 for padding, and `weights` (T,) float32, 1 where a target counts. `bytes`
  and `words`, float32, say how much text the targets are that count: every target of a document has an equal share of it, so
  that all windows together have exactly the bytes (UTF-8) and words (as blanks part them) of all documents.

  "stream": the documents one after another, cut every `stride` tokens; a target may be the first token of the next document.
  Only the last window can have padding. With stride=1 every offset is an example, which with `Data(replacement=True)` is how
  nanoGPT samples.

  "best_fit": each document is in one window if it fits, else in pieces of T + 1 tokens; the longest first, each goes where
  the least room is left behind it (Ding et al. 2024, ICML). No target is of another document.

  Attributes:
    source: the documents, of one feature; begin or end ids are as it has them.
    length: T.
    stride: from one window of a stream to the next; None takes `length`. Shorter ones overlap.
    packing: as above.
    scored: which targets of overlapping windows count: all, or those only that no earlier window has.
  """

  source: Tokenized
  length: int
  stride: int | None = None
  packing: Literal["stream", "best_fit"] = "stream"
  scored: Literal["all", "new"] = "all"

  def __post_init__(self):
    super().__post_init__()
    if len(self.source.features) != 1:
      raise ConfigError(f"TokenWindows: the source must have one feature, not {len(self.source.features)}")
    if self.length < 1 or (self.stride is not None and not 1 <= self.stride <= self.length):
      raise ConfigError(f"TokenWindows: length={self.length}, stride={self.stride}: length must be 1 or more, stride from 1 to "
                        "length (or None)")
    if self.packing == "best_fit" and (self.stride is not None or self.scored == "new"):
      raise ConfigError("TokenWindows: stride and scored='new' are for packing='stream' only")

  def open_all(self, data_dir: str | None) -> Examples:
    documents = self.source.open_all(data_dir)
    name = self.source.features[0].name
    tokens, tokenizer = documents.columns[name], documents.tokenizers[name]
    stop = len(tokens) if self.source.limit is None else min(self.source.skip + self.source.limit, len(tokens))
    if self.source.skip >= stop:
      raise DataError(f"TokenWindows: skip={self.source.skip} leaves none of the {len(tokens)} documents")
    part = slice(self.source.skip, stop)
    if self.packing == "best_fit":
      windows = _Packed(tokens, part, tokenizer, self.length)
    else:
      windows = _Stream(tokens, part, tokenizer, self.length, self.stride or self.length, self.scored == "new")
    if not len(windows):
      raise DataError(f"TokenWindows: the {stop - self.source.skip} documents have no two tokens in a row")
    return windows

  def intake(self, data_dir: str | None) -> Intake:
    """A prompt: a text whose end mark is still to come. The examples are the first halves of windows."""
    (tokens,) = self.source.features
    inner, windows = self.source.intake(data_dir), self.open(data_dir)
    *before, encode = inner.transforms
    assert isinstance(encode, Encode)
    prompts = _Prompts(windows, next(iter(inner.tokenizers.values())), tokens.text)
    return dataclasses.replace(inner, examples=prompts, transforms=(*before, dataclasses.replace(encode, eos=False)))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return self.source.files(data_dir)


class _Windows(Examples):
  """Base: windows over the documents `part` of some tokens."""

  in_memory = True

  def __init__(self, tokens: RaggedFile, part: slice, tokenizer: Tokenizer, length: int):
    self._tokens, self._tokenizer, self._length = tokens, tokenizer, length
    self._offsets = np.array(tokens.offsets[part.start:part.stop + 1])
    self._sizes_2D = np.array(tokens.sizes[:, part])

  @property
  def tokenizers(self) -> dict[str, Tokenizer]:
    return {"inputs": self._tokenizer, "targets": self._tokenizer}

  def _shares(self, num_targets_D: np.ndarray) -> np.ndarray:
    """(2, D) float32: the bytes and words of a target of each document."""
    return (self._sizes_2D / np.maximum(num_targets_D, 1)).astype(np.float32)


class _Prompts(Examples):
  """The first halves of windows as texts."""

  def __init__(self, windows: Examples, tokenizer: Tokenizer, text: str):
    self._windows, self._tokenizer, self._text = windows, tokenizer, text

  def __len__(self) -> int:
    return len(self._windows)

  def read(self, indices: np.ndarray) -> Features:
    tokens_BT = np.asarray(self._windows.read(indices)["inputs"])
    return {self._text: self._tokenizer.decode(list(tokens_BT[:, :tokens_BT.shape[1] // 2]))}


class _Stream(_Windows):

  def __init__(self, tokens: RaggedFile, part: slice, tokenizer: Tokenizer, length: int, stride: int, only_new: bool):
    super().__init__(tokens, part, tokenizer, length)
    self._stride, self._only_new = stride, only_new
    num_targets = int(self._offsets[-1] - self._offsets[0]) - 1
    self._num = 0 if num_targets < 1 else 1 + max(-(-(num_targets - length) // stride), 0)
    first = np.searchsorted(self._offsets, self._offsets[0], side="right") - 1  # whose first token is no target
    self._shares_2D = self._shares(np.diff(self._offsets) - (np.arange(len(self._offsets) - 1) == first))

  def __len__(self) -> int:
    return self._num

  def read(self, indices: np.ndarray) -> Features:
    starts_B1 = self._offsets[0] + indices[:, None] * self._stride
    at_BT = starts_B1 + np.arange(self._length)
    last = self._offsets[-1] - 1
    real_BT = at_BT < last
    inputs_BT, targets_BT = (self._tokens.ids[np.minimum(at, last)].astype(np.int32) for at in (at_BT, at_BT + 1))
    document_BT = np.searchsorted(self._offsets, at_BT, side="right")
    counts_BT = real_BT
    if self._only_new:
      counts_BT = real_BT & ((np.arange(self._length) >= self._length - self._stride) | (indices[:, None] == 0))
    of_target_BT = np.searchsorted(self._offsets, np.minimum(at_BT + 1, last), side="right") - 1
    num_bytes_B, num_words_B = (self._shares_2D[:, of_target_BT] * counts_BT).sum(-1)
    return {"inputs": inputs_BT * real_BT, "targets": targets_BT * real_BT,
            "segments": ((document_BT - document_BT[:, :1] + 1) * real_BT).astype(np.int32),
            "weights": counts_BT.astype(np.float32), "bytes": num_bytes_B, "words": num_words_B}


class _Packed(_Windows):

  def __init__(self, tokens: RaggedFile, part: slice, tokenizer: Tokenizer, length: int):
    super().__init__(tokens, part, tokenizer, length)
    starts, sizes = pieces(self._offsets, length)
    order, self._ends = best_fit(sizes, length)
    self._starts, self._sizes = starts[order], sizes[order]
    document_P = np.searchsorted(self._offsets, self._starts, side="right") - 1
    self._shares_2P = self._shares(np.diff(self._offsets) - 1)[:, document_P] * self._sizes

  def __len__(self) -> int:
    return len(self._ends) - 1

  def read(self, indices: np.ndarray) -> Features:
    inputs, targets, segments = (np.zeros((len(indices), self._length), np.int32) for _ in range(3))
    texts_2B = np.zeros((2, len(indices)), np.float32)
    for row, index in enumerate(indices.tolist()):
      at = 0
      for number, piece in enumerate(range(self._ends[index], self._ends[index + 1]), 1):
        start, size = self._starts[piece], self._sizes[piece]
        ids, where = self._tokens.ids[start:start + size + 1], slice(at, at + size)
        inputs[row, where], targets[row, where], segments[row, where] = ids[:-1], ids[1:], number
        texts_2B[:, row] += self._shares_2P[:, piece]
        at += size
    return {"inputs": inputs, "targets": targets, "segments": segments, "weights": (segments > 0).astype(np.float32),
            "bytes": texts_2B[0], "words": texts_2B[1]}


def pieces(offsets: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
  """Documents cut to what fits a window.

  Args:
    offsets: where each document begins, and where the last ends (D + 1,).
    length: how many targets a window has.

  Returns:
    Where each piece begins, and how many targets it has, 1 to `length`: one less than its tokens.
  """
  targets_D = np.maximum(np.diff(offsets) - 1, 0)
  num_D = -(-targets_D // length)
  document = np.repeat(np.arange(len(targets_D)), num_D)
  number = np.arange(len(document)) - np.repeat(np.cumsum(num_D) - num_D, num_D)
  return offsets[document] + number * length, np.minimum(targets_D[document] - number * length, length)


def best_fit(sizes: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
  """Packs items to bins: the largest first, each into the bin that it leaves the least room in.

  Args:
    sizes: of the items, 1 to `capacity` each.
    capacity: of a bin.

  Returns:
    The items bin by bin, and where each bin begins in that order and the last one ends.
  """
  order = np.argsort(-sizes, kind="stable")
  with_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # bins by the room that is left in them
  rooms = 0  # bit r is set where there are bins with room r: finding the best is one operation on a number
  bins, num_bins = np.empty(len(sizes), np.int64), 0
  for position, size in enumerate(sizes[order].tolist()):
    if fitting := rooms >> size:
      room = size + (fitting & -fitting).bit_length() - 1
      bin_number = with_room[room].pop()
      if not with_room[room]:
        rooms &= ~(1 << room)
    else:
      room, bin_number, num_bins = capacity, num_bins, num_bins + 1
    if left := room - size:
      with_room[left].append(bin_number)
      rooms |= 1 << left
    bins[position] = bin_number
  by_bin = np.argsort(bins, kind="stable")
  return order[by_bin], np.concatenate([[0], np.cumsum(np.bincount(bins, minlength=num_bins))])
