"""When words were said, of when their tokens were; and of the moments at which a CTC network is sure of them."""

import re
from collections.abc import Sequence

import numpy as np

from research.preprocessing.text.base import Tokenizer

LONGEST = 0.4  # seconds


def held(spans: Sequence[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
  """Words that meet in the middle of the blanks between them, where each reaches at most `LONGEST` seconds.

  CTC networks are sure of a word for a moment, somewhere inside of it, and say nothing of how long it lasts. On strings of
  spoken digits whose boundaries are known, words as long as these moments have 17 % of their time in common with the true ones,
  and these 82 %; half of their boundaries are within 36 ms (tests/benchmarks/word_times.py, 331 words).

  Args:
    spans: start and end of each moment, in seconds, ascending.
    duration: of the utterance.
  """
  starts, ends = [start for start, _ in spans], [end for _, end in spans]
  middles = [(end + start) / 2 for end, start in zip(ends, starts[1:])]
  return [(max(low, start - LONGEST), min(high, end + LONGEST))
          for low, start, end, high in zip([0.0, *middles], starts, ends, [*middles, duration])]


def words_of(tokenizer: Tokenizer, ids_N: np.ndarray, starts_N: np.ndarray,
             ends_N: np.ndarray) -> list[tuple[str, float, float]]:
  """The words of a text, each with where its first token starts and its last ends.

  Args:
    tokenizer: of the text.
    ids_N: its tokens.
    starts_N, ends_N: of each token, in seconds.
  """
  # How far the text reaches after each token says which tokens a word is made of, whatever the tokenizer.
  *_, text = reach = tokenizer.decode([ids_N[:n] for n in range(len(ids_N) + 1)])
  ends = [len(part) for part in reach[1:]]
  found = []
  for word in re.finditer(r"\S+", text):
    first = next(i for i, end in enumerate(ends) if end > word.start())
    last = next(i for i, end in enumerate(ends) if end >= word.end())
    found.append((word[0], float(starts_N[first]), float(ends_N[last])))
  return found
