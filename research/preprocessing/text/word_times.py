"""When words were said, of the moments at which a CTC network is sure of them."""

from collections.abc import Sequence

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
