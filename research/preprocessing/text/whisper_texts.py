"""What Whisper says of windows of 30 s, made into the text of a recording, with times; and when a window is asked once more.

T tokens of a window, B windows. It needs no jax, so that a bundle can carry it.
"""

import collections
import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from research.config import ConfigError
from research.preprocessing.answers import Answer
from research.preprocessing.text.encoding import stored
from research.preprocessing.text.word_times import words_of

SECONDS = 0.02  # from one time of the vocabulary to the next; two frames, one position of the encoder


@dataclasses.dataclass(frozen=True)
class Segment:
  """A piece of text.

  Attributes:
    start, end: in seconds.
    tokens: of text and of times.
  """

  start: float
  end: float
  tokens: np.ndarray


def segments_of(tokens: np.ndarray, first_time: int, seek: int, num_frames: int) -> tuple[list[Segment], int]:
  """The pieces of a window's text, and by how many frames to go on, as OpenAI's and Hugging Face's Whisper have them.

  A piece ends where two times meet. What comes after the last such place is unfinished, is left out, and is heard again in the
  next window; unless one single time ends the text, which says that nobody speaks after it.

  Args:
    tokens: what was said, with times.
    first_time: the token of time 0.
    seek: the frame at which the window begins.
    num_frames: frames of the window that are of the recording.
  """
  begin = seek * SECONDS / 2
  is_time = tokens >= first_time
  seconds = lambda token: begin + float(token - first_time) * SECONDS
  ends = (np.flatnonzero(is_time[:-1] & is_time[1:]) + 1).tolist()
  if not ends:
    times = tokens[is_time]
    end = seconds(times[-1]) if len(times) and times[-1] != first_time else begin + num_frames // 2 * SECONDS
    return [Segment(begin, end, tokens)], num_frames
  finished = is_time[-2:].tolist() == [False, True]
  ends += [len(tokens)] if finished else []
  pieces = np.split(tokens, ends)[:len(ends)]
  segments = [Segment(seconds(piece[0]), seconds(piece[-1]), piece) for piece in pieces]
  return segments, num_frames if finished else 2 * int(pieces[-1][-1] - first_time)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fallback:
  """When a window is decoded once more, at the next temperature, and when it is taken for silence (Radford et al. 2022, 4.5).

  Attributes:
    temperatures: rising; 0 takes the most probable token each time.
    max_compression: a text whose bytes zlib makes shorter by a larger factor repeats itself; None for any.
    min_log_probability: mean of the tokens', the end's included; None for any.
    max_no_speech: a window whose text is less probable than that, and that holds no speech with a larger probability, has no
      text; None for no such rule.
  """

  temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
  max_compression: float | None = 2.4
  min_log_probability: float | None = -1.0
  max_no_speech: float | None = 0.6

  def __post_init__(self):
    rising = list(self.temperatures) == sorted(set(self.temperatures))
    if not self.temperatures or not rising or self.temperatures[0] < 0:
      raise ConfigError(f"temperatures={self.temperatures}: must be rising numbers from 0 on")
    if self.max_no_speech is not None and self.min_log_probability is None:
      raise ConfigError(f"max_no_speech={self.max_no_speech}: needs min_log_probability: a probable text is no silence")

  def silent(self, log_probability: float, no_speech: float) -> bool:
    """Whether a window has no text."""
    return self._improbable(log_probability) and self.max_no_speech is not None and no_speech > self.max_no_speech

  def next(self, temperature: float, text: bytes, log_probability: float, no_speech: float) -> float | None:
    """At which temperature to ask once more; None where what was found at this one is taken."""
    hotter = next((t for t in self.temperatures if t > temperature), None)
    repeats = self.max_compression is not None and compression(text) > self.max_compression
    dubious = (self._improbable(log_probability) or repeats) and not self.silent(log_probability, no_speech)
    return hotter if dubious else None

  def _improbable(self, log_probability: float) -> bool:
    return self.min_log_probability is not None and log_probability < self.min_log_probability


def compression(data: bytes) -> float:
  """How many times shorter zlib makes it."""
  return len(data) / len(zlib.compress(data))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhisperTexts(Answer):
  """Text, and words with times, of windows: `tokens` (B, T), of which `length` (B,) count, and at which of the encoder's
  positions each token of text begins, `begins` (B, T + 1), the one after the last being the end.

  Of a window there are also `log_probability` (B,), `no_speech` (B,) and its `seconds` (B,).

  Attributes:
    tokenizer: its folder.
    end: ends a text; what has a smaller number is text.
    first_time: the token of time 0.
    languages: codes, in the order of `language` (B,), which is there where it was found out.
    fallback: when to ask once more.
  """

  follows = True

  tokenizer: str
  end: int
  first_time: int
  languages: tuple[str, ...] = ()
  fallback: Fallback = Fallback()

  @property
  def files(self) -> tuple[str, ...]:
    return ("tokenizer",)

  def __call__(self, arrays, given):
    return [self.together([(0.0, self._answer(self._row(arrays, b), whole=True)[0])]) for b in range(len(given))]

  def again(self, arrays, options):
    row = self._row(arrays, 0)
    text = stored(self.tokenizer).decode([_text(row["tokens"], self.end)])[0]
    hotter = self.fallback.next(options["temperature"], text.encode(), row["log_probability"], row["no_speech"])
    return None if hotter is None else {**options, "temperature": hotter}

  def following(self, arrays):
    return self._answer(self._row(arrays, 0), whole=False)

  def together(self, parts):
    words = [{"word": word["word"], **{side: round(begin + word[side], 3) for side in ("start", "end")}}
             for begin, part in parts for word in part["words"]]
    spoken = collections.Counter(part["language"] for _, part in parts if "language" in part)
    return {"text": "".join(part["text"] for _, part in parts).strip(), "words": words,  # tokens have their own blanks
            **({"language": spoken.most_common(1)[0][0]} if spoken else {})}

  def _row(self, arrays: Mapping[str, np.ndarray], b: int) -> dict[str, Any]:
    row = {name: array[b] for name, array in arrays.items()}
    tokens = row["tokens"][:row["length"]]
    return {**row, "tokens": tokens[:-1] if len(tokens) and tokens[-1] == self.end else tokens}

  def _answer(self, row: dict[str, Any], *, whole: bool) -> tuple[dict[str, Any], float]:
    """Text and words of a window, of what is finished in it if it is not the whole, and the seconds that were done."""
    tokens, seconds = row["tokens"], float(row["seconds"])
    segments, frames = segments_of(tokens, self.first_time, 0, round(seconds / SECONDS * 2))
    spoken = {"language": self.languages[row["language"]]} if "language" in row else {}
    if self.fallback.silent(row["log_probability"], row["no_speech"]):
      return {"text": "", "words": []}, seconds
    if whole and (rest := tokens[sum(len(segment.tokens) for segment in segments):]).size:
      begin = float(rest[0] - self.first_time) * SECONDS if rest[0] >= self.first_time else segments[-1].end
      segments = [*segments, Segment(begin, seconds, rest)]
    tokenizer, texts, words, done = stored(self.tokenizer), [], [], 0
    for segment in segments:
      ids = _text(segment.tokens, self.end)
      begins = row["begins"][done:done + len(ids) + 1] * SECONDS
      done += len(ids)
      texts.append(tokenizer.decode([ids])[0])
      words += _inside(words_of(tokenizer, ids, begins[:-1], begins[1:]), segment, seconds)
    return {"text": "".join(texts), "words": words, **spoken}, seconds if whole else min(frames * SECONDS / 2, seconds)


def _text(tokens_T: np.ndarray, end: int) -> np.ndarray:
  return tokens_T[tokens_T < end]


def _inside(words: Sequence[tuple[str, float, float]], segment: Segment, seconds: float) -> list[dict[str, Any]]:
  """Words whose times, which attention gives, are not outside of what the text itself says of the piece."""
  low, high = min(segment.start, seconds), min(max(segment.end, segment.start), seconds)
  return [{"word": word, "start": round(min(max(start, low), high), 3), "end": round(min(max(end, low), high), 3)}
          for word, start, end in words]
