"""Answers that are texts.

Shapes: B examples, T tokens of a text, S of its source.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np

from research.preprocessing.answers import Answer, Labels
from research.preprocessing.text.base import Tokenizer
from research.preprocessing.text.encoding import stored
from research.preprocessing.text.word_times import held, words_of


class Detokenizer(Protocol):
  """Makes text as people write it of what a tokenizer gives."""

  def detokenize(self, text: str) -> str: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextLabels(Labels):
  """The most probable classes of a text.

  Attributes:
    tokenizer: its folder.
    source: the feature with the text's ids.
  """

  tokenizer: str
  source: str

  @property
  def files(self) -> tuple[str, ...]:
    return "names", "tokenizer"

  def parts(self, features):
    return {"tokens": _shown(stored(self.tokenizer), features[self.source])}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts(Answer):
  """The text of `tokens` (B, T), of which `length` (B,) count; and `alignment` (B, T, S), where it is there.

  Attributes:
    tokenizer: folder of the text's tokenizer.
    source: the feature that the text is made of.
    source_tokenizer: its tokenizer's folder.
    end: ids that end a text and are no part of it.
    detokenize: makes text as people write it of what the tokenizer gives; None where that is such text.
  """

  tokenizer: str
  source: str
  source_tokenizer: str
  end: tuple[int, ...]
  detokenize: Detokenizer | None = None

  @property
  def files(self) -> tuple[str, ...]:
    return "tokenizer", "source_tokenizer"

  def __call__(self, arrays, given):
    target, source, answers = stored(self.tokenizer), stored(self.source_tokenizer), []
    rows = [_without(tokens_T[:length], self.end) for tokens_T, length in zip(arrays["tokens"], arrays["length"])]
    for b, (text, ids) in enumerate(zip(target.decode(rows), rows)):
      before = given[b]["features"][self.source]
      answer = {"text": text if self.detokenize is None else self.detokenize.detokenize(text),
                "source_tokens": _shown(source, before), "output_tokens": _shown(target, ids)}
      if "alignment" in arrays:
        answer["alignment"] = np.round(arrays["alignment"][b, :len(ids), :len(before)].astype(np.float64), 4).tolist()
      answers.append(answer)
    return answers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Continuations(Answer):
  """The text that `tokens` (B, T), of which `length` (B,) count, say after a prompt.

  Attributes:
    tokenizer: its folder.
    prompt: the feature with the prompt's ids.
    end: ids that end a text and are no part of it.
  """

  tokenizer: str
  prompt: str
  end: tuple[int, ...]

  @property
  def files(self) -> tuple[str, ...]:
    return ("tokenizer",)

  def __call__(self, arrays, given):
    rows = [tokens_T[:length] for tokens_T, length in zip(arrays["tokens"], arrays["length"])]
    texts = stored(self.tokenizer).decode([_without(row, self.end) for row in rows])
    return [{"text": text, "finish_reason": "stop" if len(row) and int(row[-1]) in self.end else "length",
             "usage": {"prompt_tokens": len(item["features"][self.prompt]), "completion_tokens": len(row)}}
            for text, row, item in zip(texts, rows, given)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transcripts(Answer):
  """What is said, and when: of the most probable output `path` (B, T) of every frame, of which `length` (B,) count, and of
  which there are `rate` (B,) a second.

  Repeated outputs are one label, blanks none (Graves et al. 2006). The times of words are those of `held`.

  Attributes:
    tokenizer: its folder.
    blank: the output that stands for no label.
  """

  joins = True

  tokenizer: str
  blank: int

  @property
  def files(self) -> tuple[str, ...]:
    return ("tokenizer",)

  def __call__(self, arrays, given):
    answers = []
    for path_T, length, rate in zip(arrays["path"], arrays["length"], arrays["rate"]):
      path = path_T[:length]
      frames = np.flatnonzero((path != self.blank) & (path != np.concatenate([[self.blank], path[:-1]])))
      answers.append(_timed(self.tokenizer, path[frames], frames, int(length), float(rate)))
    return answers

  def joined(self, arrays, step):
    """The path of one recording. Two pieces meet where `_meeting` says."""
    pieces = [path_T[:length] for path_T, length in zip(arrays["path"], arrays["length"])]
    shift, whole = round(step * float(arrays["rate"][0])), pieces[0]
    for number, piece in enumerate(pieces[1:], 1):
      begin = number * shift
      overlap = min(len(whole) - begin, len(piece))
      meet = _meeting((whole[begin:begin + overlap] == self.blank) & (piece[:overlap] == self.blank))
      whole = np.concatenate([whole[:begin + meet], piece[meet:]])
    return {"path": whole[None], "length": np.array([len(whole)]), "rate": arrays["rate"][:1]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Emissions(Answer):
  """What is said, and when: of `labels` (B, N), of which `length` (B,) count, each said in one of `frames` (B, N); of frames
  `num_frames` (B,) count, and there are `rate` (B,) a second. The times of words are those of `held`.

  Attributes:
    tokenizer: its folder.
  """

  joins = True

  tokenizer: str

  @property
  def files(self) -> tuple[str, ...]:
    return ("tokenizer",)

  def __call__(self, arrays, given):
    rows = zip(*(arrays[name] for name in ("labels", "frames", "length", "num_frames", "rate")))
    return [_timed(self.tokenizer, labels_N[:length], frames_N[:length], int(num), float(rate))
            for labels_N, frames_N, length, num, rate in rows]

  def joined(self, arrays, step):
    """The labels of one recording. Two pieces meet where `_meeting` says."""
    shift, labels, frames, end = round(step * float(arrays["rate"][0])), np.zeros(0, np.int32), np.zeros(0, np.int32), 0
    for number, (its, at, length, num) in enumerate(zip(*(arrays[n] for n in ("labels", "frames", "length", "num_frames")))):
      begin = number * shift
      its, at = its[:length], at[:length] + begin
      if number:
        overlap = np.arange(begin, min(end, begin + num))
        meet = begin + _meeting(~np.isin(overlap, frames) & ~np.isin(overlap, at))
        labels, frames, its, at = labels[frames < meet], frames[frames < meet], its[at >= meet], at[at >= meet]
      labels, frames, end = np.concatenate([labels, its]), np.concatenate([frames, at]), begin + int(num)
    return {"labels": labels[None], "frames": frames[None], "length": np.array([len(labels)]), "num_frames": np.array([end]),
            "rate": arrays["rate"][:1]}


def _meeting(quiet_T: np.ndarray) -> int:
  """The frame of an overlap in which two pieces meet: next to the middle where both are silent, so that no label is cut in two,
  lost or said twice there."""
  middle = len(quiet_T) // 2
  return min(np.flatnonzero(quiet_T).tolist(), key=lambda frame: abs(frame - middle), default=middle)


def _timed(folder: str, labels_N: np.ndarray, frames_N: np.ndarray, num_frames: int, rate: float) -> dict[str, Any]:
  tokenizer = stored(folder)
  words = words_of(tokenizer, labels_N, frames_N / rate, (frames_N + 1) / rate)
  spans = held([(start, end) for _, start, end in words], num_frames / rate)
  return {"text": tokenizer.decode([labels_N])[0], "words": [
      {"word": word, "start": round(start, 3), "end": round(end, 3)} for (word, _, _), (start, end) in zip(words, spans)]}


def _without(ids_T: np.ndarray, end: tuple[int, ...]) -> np.ndarray:
  return ids_T[:-1] if len(ids_T) and int(ids_T[-1]) in end else ids_T


def _shown(tokenizer: Tokenizer, ids_T: np.ndarray) -> list[str]:
  return [tokenizer.token(int(i)) for i in ids_T]
