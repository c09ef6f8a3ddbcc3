"""What a report shows of a model that writes text, as figures: from its outputs, their references and their scores.

N examples, K statistics of a metric, T tokens of a target, S of a source.
"""

import collections
import difflib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from research.figures import Figure, Marked, Matrix, Series, Table
from research.metrics.base import Metric

_SHOWN, _LONG = 6, 400  # sentences a table, characters of one
_BINS = 8
_ORDERS = (1, 2, 3, 4)
_WORD = re.compile(r"(?:\w+|[^\w\s])\s*")
_TOKENS = 40  # a side of an alignment


def evaluation_figures(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]],
                       metrics: Mapping[str, Metric], rows: Mapping[str, np.ndarray], *, lengths_N: np.ndarray, unit: str,
                       split: str) -> tuple[Figure | Table, ...]:
  """All figures of one split.

  Args:
    sources: what each output was made from; [] where there is nothing to show (audio, private text).
    hypotheses: the outputs.
    references: of each.
    metrics: name to metric. The first ranks single sentences: chrF or ROUGE, not BLEU, which means little on one.
    rows: the statistics (N, K) of each of them.
    lengths_N: of each source.
    unit: what the lengths count: "words", "seconds".
    split: its name, which goes into the titles.
  """
  name, metric = next(iter(metrics.items()))
  scores_N = np.array([metric.value(row) for row in rows[name]])
  return (*checks(hypotheses, references, split), *by_length(lengths_N, metrics, rows, unit=unit, split=split),
          *best_and_worst(sources, hypotheses, references, scores_N, name=name, split=split, better=metric.better))


# --- single sentences ------------------------------------------------------------------------------------------------


def best_and_worst(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]],
                   scores_N: np.ndarray, *, name: str, split: str, better: str = "higher") -> tuple[Table, ...]:
  """The sentences with the worst and the best scores, side by side; words that differ from the reference are marked.

  Args:
    sources: what each output was made from; [] where there is nothing to show (audio, private text).
    hypotheses: the outputs.
    references: of each; where there are several the most similar one is shown.
    scores_N: of each output. What is not a number is left out.
    name: of the score.
    split: goes into the titles.
    better: whether a "higher" or a "lower" score is better.
  """
  assert len(hypotheses) == len(references) == len(scores_N), (len(hypotheses), len(references), len(scores_N))
  known = np.flatnonzero(np.isfinite(scores_N))
  order = known[np.argsort(scores_N[known] if better == "higher" else -scores_N[known], kind="stable")]
  head = (name, *(["source"] if len(sources) else []), "reference", "output")

  def row(n):
    compared = max((differences(reference, hypotheses[n]) for reference in references[n]), key=lambda its: its[2])
    return (float(scores_N[n]), *([_shortened(sources[n])] if len(sources) else []), *compared[:2])

  caption = "Marked: what the output lacks or says otherwise, and what it has instead."
  half = min(_SHOWN, len(order) // 2)  # no sentence is shown as both
  sheets = (("Worst sentences", order[:_SHOWN] if not half else order[:half]), ("Best sentences", order[::-1][:half]))
  return tuple(Table(f"{title}, {split}", head, tuple(map(row, chosen)), caption) for title, chosen in sheets if len(chosen))


def differences(reference: str, hypothesis: str) -> tuple[Marked, Marked, float]:
  """Both texts with the words marked that are not in the other at their place, and how alike they are, 0 to 1.

  Words are runs of letters and digits, each other sign is one; in a text without blanks every character is.
  """
  theirs, ours = _words(reference), _words(hypothesis)
  matcher = difflib.SequenceMatcher(None, *([word.strip() for word in words] for words in (theirs, ours)), autojunk=False)
  in_theirs, in_ours = [], []
  for kind, *ends in matcher.get_opcodes():
    for pieces, words, begin, end in ((in_theirs, theirs, *ends[:2]), (in_ours, ours, *ends[2:])):
      piece = "".join(words[begin:end])
      core = piece.rstrip()
      pieces += [(core, kind != "equal"), (piece[len(core):], False)]
  return Marked(_cut(in_theirs)), Marked(_cut(in_ours)), matcher.ratio()


def _words(text: str) -> list[str]:
  """The words, each with the blanks behind it: joined they are the text."""
  text = text.strip()
  return _WORD.findall(text) if re.search(r"\s", text) else list(text)


def _cut(pieces: list[tuple[str, bool]]) -> tuple[tuple[str, bool], ...]:
  """The pieces up to the length that is shown; "(empty)" if there are none."""
  kept, left = [], _LONG
  for piece, is_marked in pieces:
    if piece and left > 0:
      kept.append((_shortened(piece, left), is_marked))
    elif piece and left == 0:
      kept.append((" …", False))
    left -= len(piece)
  return tuple(kept) or (("(empty)", False),)


def _shortened(text: str, length: int = _LONG) -> str:
  return text if len(text) <= length else text[:length].rstrip() + " …"


# --- over all sentences ----------------------------------------------------------------------------------------------


def by_length(lengths_N: np.ndarray, metrics: Mapping[str, Metric], rows: Mapping[str, np.ndarray], *, unit: str,
              split: str) -> tuple[Figure, ...]:
  """Each metric by the length of the source: over groups of neighbouring lengths, about equally many examples in each.

  Args:
    lengths_N: of each source.
    metrics: the scores, the loss.
    rows: the statistics (N, K) of each of them.
    unit: what the lengths count: "words", "seconds".
    split: goes into the titles.
  """
  if not len(lengths_N):
    return ()
  order = np.argsort(lengths_N, kind="stable")
  cuts = np.unique(np.searchsorted(lengths_N[order], np.quantile(lengths_N, np.linspace(0, 1, _BINS + 1)[1:-1])))
  groups = [group for group in np.split(order, cuts) if len(group)]
  if len(groups) < 2:
    return ()
  middle = [float(np.mean(lengths_N[group])) for group in groups]
  caption = f"{len(groups)} groups of {min(map(len, groups))} to {max(map(len, groups))} examples."
  return tuple(
      Figure(f"{name} by length, {split}", f"length of the source ({unit})", name,
             (Series(name, middle, [metric.value(rows[name][group].sum(0)) for group in groups]),), caption)
      for name, metric in metrics.items())


def checks(hypotheses: Sequence[str], references: Sequence[Sequence[str]], split: str) -> tuple[Table, ...]:
  """What is often wrong with generated text: too short or long, nothing at all, the same over and over.

  Args:
    hypotheses: the outputs.
    references: of each; lengths and repetitions are those of all of them.
    split: goes into the title.
  """
  if not len(hypotheses):
    return ()
  outputs, wanted = [text.split() for text in hypotheses], [text.split() for its in references for text in its]
  mean = lambda texts: float(np.mean([len(words) for words in texts]))
  empty = lambda texts: float(np.mean([not words for words in texts]))
  ratio = mean(outputs) / mean(wanted) if any(wanted) else float("nan")
  rows = [("words", mean(outputs), mean(wanted)), ("length ratio", ratio, 1.0), ("share empty", empty(outputs), empty(wanted))]
  rows += [(f"repeated {n}-grams", repetition(outputs, n), repetition(wanted, n)) for n in _ORDERS]
  return (Table(f"Checks of the outputs, {split}", ("", "outputs", "references"), tuple(rows),
                "Repeated: the share of n-grams of words that were in the same text before."),)


def repetition(texts: Sequence[Sequence[str]], order: int) -> float:
  """The share of n-grams of that order that were in the same text before; over all texts, 0 where there are none."""
  counts = [collections.Counter(zip(*(words[i:] for i in range(order)))) for words in texts]
  total = sum(sum(its.values()) for its in counts)
  return 1 - sum(map(len, counts)) / total if total else 0.0


# --- alignment -------------------------------------------------------------------------------------------------------


def alignment(weights_TS: np.ndarray, target: Sequence[str], source: Sequence[str], *, title: str, caption: str = "") -> Matrix:
  """Where each token of the target looks in the source, in percent: attention, or attribution.

  Args:
    weights_TS: not negative. A row is divided by its sum; one without weight, or not finite, stays empty.
    target: tokens.
    source: tokens.
    title: of the picture.
    caption: below it.
  """
  assert weights_TS.shape == (len(target), len(source)), (weights_TS.shape, len(target), len(source))
  weights = np.asarray(weights_TS, np.float64)
  total = weights.sum(1, keepdims=True)
  usable = np.isfinite(total) & (total > 0)
  percent = np.round(100 * np.divide(weights, total, out=np.zeros_like(weights), where=usable)).astype(int)[:_TOKENS, :_TOKENS]
  if max(weights.shape) > _TOKENS:
    caption = f"{caption} Only the first {_TOKENS} tokens are shown.".strip()
  return Matrix(title, tuple(target[:_TOKENS]), tuple(source[:_TOKENS]), tuple(map(tuple, percent.tolist())), "output",
                "source", caption, alike=True)
