"""What transcription is scored by: word, character and digit error rates, as rows that add up. N utterances, S speakers.

A rate is all edits over all reference words, never a mean of utterances, so that it may exceed 100 %.
"""

import dataclasses
import functools
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from rapidfuzz.distance import Levenshtein
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from research.metrics.base import Metric, bootstrap

Normalizer = Literal["none", "basic", "english"]

SUBSTITUTIONS, DELETIONS, INSERTIONS, LENGTH = range(4)  # the columns of a row


def edits(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> np.ndarray:
  """Fewest substitutions, deletions and insertions from reference to hypothesis, and the reference's length, (4,) int64.

  Their sum is unique; which of the kinds it consists of may not be, where ways are equally short.
  """
  counts = dict.fromkeys(("replace", "delete", "insert"), 0)
  for operation in Levenshtein.editops(reference, hypothesis):
    counts[operation.tag] += 1
  return np.array([*counts.values(), len(reference)], np.int64)


def error_rate(sums: np.ndarray) -> float:
  """Sums of rows (4,) to edits per reference word, in %; not a number without reference words."""
  return float(100 * sums[:LENGTH].sum() / sums[LENGTH]) if sums[LENGTH] else float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ErrorRate:
  """Error rate of texts.

  Attributes:
    unit: what is compared: words, between white space; characters, with the spaces between words; digits, which are the
      characters without spaces.
    normalizer: done to both texts before: none leaves them (compare upper case with upper case; LibriSpeech's transcripts are
      upper case with apostrophes), basic is Whisper's for all languages (lower case, no punctuation nor brackets), english its
      own for English, which also rewrites numbers, contractions, spellings and fillers.
    protocol: put behind the signature: how the text was made, as beam and language model.
  """

  unit: Literal["word", "character", "digit"] = "word"
  normalizer: Normalizer = "none"
  protocol: str = ""

  @property
  def metrics(self) -> dict[str, Metric]:
    """How to finish the rows."""
    name = {"word": "wer", "character": "cer", "digit": "der"}[self.unit]
    spaces = {"word": "", "character": "spaces:counted", "digit": "spaces:dropped"}[self.unit]
    parts = name.upper(), spaces, f"normalizer:{self.normalizer}", self.protocol
    return {name: Metric(error_rate, "|".join(filter(None, parts)), "lower")}

  def rows(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Substitutions, deletions, insertions and reference length (N, 4) of each utterance, which has one reference."""
    rows = [edits(self.units(reference), self.units(hypothesis))
            for (reference,), hypothesis in zip(references, hypotheses, strict=True)]
    return {name: np.stack(rows) if rows else np.zeros((0, 4), np.int64) for name in self.metrics}

  def units(self, text: str) -> Sequence[str]:
    """What of a text is compared."""
    words = _normalize(self.normalizer)(text).split()
    return words if self.unit == "word" else (" " if self.unit == "character" else "").join(words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BelowUnigram:
  """By how much an error rate lies below that of texts which hear nothing: "NAME_below_unigram", in points of %.

  A text that hears nothing has as many units as the reference, drawn from the frequencies of all references: it is told more
  than any model is. Rows (its edits, the model's, the reference's length): a bootstrap sees both on the same utterances.

  Attributes:
    rate: the error rate.
    seed: of the draws.
  """

  rate: ErrorRate = ErrorRate(unit="character")
  seed: int = 0

  @property
  def metrics(self) -> dict[str, Metric]:
    (name, metric), = self.rate.metrics.items()
    points = lambda sums: float(100 * (sums[0] - sums[1]) / sums[2]) if sums[2] else float("nan")
    return {f"{name}_below_unigram": Metric(points, metric.signature, "higher")}

  def rows(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """(N, 3); see above."""
    known, rng = [list(self.rate.units(reference)) for reference, in references], np.random.default_rng(self.seed)
    everything = [unit for units in known for unit in units]
    rows = []
    for units, hypothesis in zip(known, hypotheses, strict=True):
      drawn = [everything[i] for i in rng.integers(len(everything), size=len(units))]
      deaf, ours = edits(units, drawn), edits(units, list(self.rate.units(hypothesis)))
      rows.append([deaf[:LENGTH].sum(), ours[:LENGTH].sum(), len(units)])
    return {next(iter(self.metrics)): np.array(rows, np.int64).reshape(-1, 3)}


@functools.cache
def _normalize(normalizer: Normalizer):
  if normalizer == "none":  # composed, so that an accent is the same character however it was typed
    return lambda text: unicodedata.normalize("NFC", text)
  return BasicTextNormalizer() if normalizer == "basic" else EnglishTextNormalizer()


def by_speaker(rows: np.ndarray, speakers: Sequence[Hashable] | np.ndarray) -> np.ndarray:
  """The rows (N, k) of utterances added up for each speaker, (S, k)."""
  _, numbers = np.unique(np.asarray(speakers), return_inverse=True)
  sums = np.zeros((numbers.max() + 1, rows.shape[1]), rows.dtype)
  np.add.at(sums, numbers, rows)
  return sums


def speaker_bootstrap(rows: np.ndarray, speakers: Sequence[Hashable] | np.ndarray, *, num_resamples: int = 1000,
                      seed: int = 0) -> tuple[float, float]:
  """95 % interval of the error rate over speakers (Bisani, Ney 2004): utterances of one speaker are not independent."""
  return bootstrap(by_speaker(rows, speakers), error_rate, num_resamples=num_resamples, seed=seed)
