"""Forced alignment: where in an utterance each label of a known text was said, by the best path of a CTC network (Viterbi).

T frames, V outputs, N labels, S = 2 N + 1 states: a blank, label 1, a blank, ... Host code, in float64.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from research.config import UserError
from research.preprocessing.text.base import Tokenizer
from research.preprocessing.text.word_times import held


class AlignmentError(UserError):
  """A text that cannot have been said in these frames."""


@dataclasses.dataclass(frozen=True)
class Span:
  """Where something was said.

  Attributes:
    start: its first frame; times the seconds a frame takes, when it begins.
    stop: the frame after its last.
    score: mean ln of the probabilities of its labels in these frames, blanks between them left out.
  """

  start: int
  stop: int
  score: float


def align(log_probs_TV: np.ndarray, labels_N: Sequence[int] | np.ndarray, *, blank: int = 0) -> list[Span]:
  """The span of each label on the most probable path. Blanks belong to no label: CTC networks tend to peaks of few frames.

  Args:
    log_probs_TV: of the frames that count, as `jax.nn.log_softmax` gives them.
    labels_N: the text, without blanks.
    blank: the output that stands for none.

  Raises:
    AlignmentError: no path through the frames gives these labels.
  """
  labels = np.asarray(labels_N, int)
  num, size = len(log_probs_TV), 2 * len(labels) + 1
  if not len(labels):
    return []
  states = np.full(size, blank)
  states[1::2] = labels
  skips = np.zeros(size, bool)
  skips[3::2] = labels[1:] != labels[:-1]
  emitted_TS = np.asarray(log_probs_TV, np.float64)[:, states]
  steps_TS = np.zeros((num, size), np.int8)  # how many states back the best way came from
  best_S = np.full(size, -np.inf)
  best_S[0] = 0.0  # before the first frame, a blank, from which the first label is one step
  for t in range(num):
    ways = np.full((3, size), -np.inf)
    ways[0], ways[1, 1:], ways[2, 2:] = best_S, best_S[:-1], np.where(skips[2:], best_S[:-2], -np.inf)
    steps_TS[t] = ways.argmax(0)
    best_S = ways.max(0) + emitted_TS[t]
  state = size - 1 if best_S[-1] > best_S[-2] else size - 2
  if best_S[state] == -np.inf:
    raise AlignmentError(f"{len(labels)} labels cannot be aligned with {num} frames")
  path_T = np.empty(num, int)
  for t in reversed(range(num)):
    path_T[t] = state
    state -= int(steps_TS[t, state])
  spans = []
  for s in range(1, size, 2):
    frames = np.flatnonzero(path_T == s)
    spans.append(Span(int(frames[0]), int(frames[-1]) + 1, float(emitted_TS[frames, s].mean())))
  return spans


def words(spans: Sequence[Span], word_of: Sequence[int]) -> list[Span]:
  """The spans of words: from the start of their first label to the stop of their last.

  Args:
    spans: of the labels.
    word_of: the number of the word each label is in, ascending from 0; −1 for a space between words.
  """
  assert len(spans) == len(word_of)
  found: dict[int, list[Span]] = {}
  for span, word in zip(spans, word_of):
    if word >= 0:
      found.setdefault(word, []).append(span)
  mean = lambda parts: sum(p.score * (p.stop - p.start) for p in parts) / sum(p.stop - p.start for p in parts)
  return [Span(parts[0].start, parts[-1].stop, mean(parts)) for parts in found.values()]


def word_times(log_probs_TV: np.ndarray, labels_N: Sequence[int] | np.ndarray, tokenizer: Tokenizer, *,
               frames_per_second: float, blank: int = 0) -> list[dict[str, str | float]]:
  """When each word of a transcribed utterance was said: [{"word": "two", "start": 0.31, "end": 0.52}, ...], in seconds; see
  `held`.

  Args:
    log_probs_TV: of the frames that count, as `jax.nn.log_softmax` gives them.
    labels_N: the transcript.
    tokenizer: which labels make up a word is what it makes of them: blanks part words.
    frames_per_second: of the network's outputs.
    blank: the output that stands for none.

  Raises:
    AlignmentError: see `align`.
  """
  labels = np.asarray(labels_N, np.int32)
  begun = tokenizer.decode([labels[:n + 1] for n in range(len(labels))])
  # A label belongs to the word that it leaves unfinished; one behind which a blank stands is that blank.
  of = [-1 if not text.strip() or text[-1].isspace() else len(text.split()) - 1 for text in begun]
  spans = words(align(log_probs_TV, labels, blank=blank), of)
  times = held([(span.start / frames_per_second, span.stop / frames_per_second) for span in spans],
               len(log_probs_TV) / frames_per_second)
  return [{"word": word, "start": start, "end": end}
          for word, (start, end) in zip(begun[-1].split() if begun else (), times, strict=True)]
