"""Summaries that are sentences of the text: what a model of summaries must beat, and what no extract can."""

import itertools
from collections.abc import Callable, Sequence

Score = Callable[[str, str], float]  # (hypothesis, reference) to a number, higher is better


def lead(sentences: Sequence[str], num: int) -> str:
  """The first `num` sentences that are not empty, a line each."""
  return "\n".join([sentence for sentence in sentences if sentence.strip()][:num])


def set_f1(hypothesis: str, reference: str) -> float:
  """F1 of the two sets of words as blanks separate them, 0 to 1: no case folding, no stemmer, no counts.

  In essence what the Python package `rouge` calls ROUGE-1, by which Cachola et al. 2020 choose their oracle.
  """
  ours, theirs = set(hypothesis.split()), set(reference.split())
  return 2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 0.0


def exhaustive_oracle(sentences: Sequence[str], references: Sequence[str], score: Score, num: int = 1) -> tuple[int, ...]:
  """The best extract of up to `num` sentences, found by trying all; its score is that of the reference it fits best.

  Returns:
    numbers of sentences, rising. Of equally good ones the first for the first reference, of the fewest sentences; () where
    there are none.
  """
  extracts = [its for size in range(1, num + 1) for its in itertools.combinations(range(len(sentences)), size)]
  pairs = [(extract, reference) for reference in references for extract in extracts]
  return max(pairs, key=lambda pair: score(joined(sentences, pair[0]), pair[1]))[0] if pairs else ()


def greedy_oracle(sentences: Sequence[str], references: Sequence[str], score: Score, num: int) -> tuple[int, ...]:
  """Adds the sentence that helps most while one helps, up to `num` (Nallapati, Zhai, Zhou 2017, section 3.1).

  Returns:
    numbers of sentences, rising.
  """
  chosen, best = (), 0.0
  while len(chosen) < num:
    longer = [tuple(sorted({*chosen, i})) for i in range(len(sentences)) if i not in chosen]
    scored = [(max(score(joined(sentences, extract), r) for r in references), extract) for extract in longer]
    value, extract = max(scored, key=lambda pair: pair[0], default=(0.0, ()))
    if value <= best:
      break
    chosen, best = extract, value
  return chosen


def joined(sentences: Sequence[str], numbers: Sequence[int]) -> str:
  """Those sentences, a line each."""
  return "\n".join(sentences[i] for i in numbers)
