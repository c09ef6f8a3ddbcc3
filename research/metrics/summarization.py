"""What summaries are scored by: ROUGE of rouge_score, as rows that add up. N summaries.

The Perl script of Lin 2004 (files2rouge, pyrouge) and the Python package `rouge` give other values: the tool is in the
signature.
"""

import dataclasses
import functools
import importlib.metadata
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from research.config import ConfigError
from research.metrics.base import Metric, mean

Type = Literal["rouge1", "rouge2", "rougeL", "rougeLsum"]


def percent(sums: np.ndarray) -> float:
  """Sums (total, count) to 100 times the mean."""
  return 100 * mean(sums)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rouge:
  """The F1 of ROUGE (Lin 2004), times 100. Rows (N, 2) of each type: F1, 1.

  rouge1 and rouge2 compare n-grams, rougeL the longest common subsequence of the whole texts, rougeLsum that of sentences,
  which must stand on a line each in both texts.

  Attributes:
    types: which.
    several: what counts where there are several references. "best_rouge1": of the reference with the best rouge1 all types;
      "maximum": of each type the best; "mean": the mean over the references; None: there is one.
    stemmer: words are cut to their stems (Porter 1980, English).
    protocol: put behind the signature: how the text was made, as beam, length penalty, limits of length.
  """

  types: tuple[Type, ...] = ("rouge1", "rouge2", "rougeL")
  several: Literal["best_rouge1", "maximum", "mean"] | None = None
  stemmer: bool = True
  protocol: str = ""

  def __post_init__(self):
    if not self.types or len(set(self.types)) != len(self.types):
      raise ConfigError(f"types={self.types}: give at least one, each once")
    if self.several == "best_rouge1" and "rouge1" not in self.types:
      raise ConfigError(f"several=best_rouge1 needs rouge1 among types={self.types}")

  @property
  def metrics(self) -> dict[str, Metric]:
    """How to finish each entry of `rows`."""
    references = f"refs:{self.several}" if self.several else "nrefs:1"
    stemmer = f"stemmer:{'yes' if self.stemmer else 'no'}"
    version = f"rouge_score:{importlib.metadata.version('rouge-score')}"
    signature = lambda kind: "|".join(filter(None, (
        "F1", references, stemmer, kind == "rougeLsum" and "sentences:newline", version, self.protocol)))
    return {kind: Metric(percent, signature(kind), "higher") for kind in self.types}

  def rows(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """The statistics of each summary, (N, 2).

    Args:
      hypotheses: N summaries; an empty one scores 0.
      references: of each at least one; one exactly where `several` is None. An empty one scores 0 too.
    """
    assert len(hypotheses) == len(references), (len(hypotheses), len(references))
    scores_NT = np.array([self.scores(h, r) for h, r in zip(hypotheses, references)]).reshape(-1, len(self.types))
    return {kind: np.stack([scores_NT[:, t], np.ones(len(scores_NT))], 1) for t, kind in enumerate(self.types)}

  def scores(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
    """F1 of one summary, (T,) in the order of `types`, 0 to 1."""
    assert references and (self.several or len(references) == 1), f"{len(references)} references, several={self.several}"
    scorer = _scorer(self.types, self.stemmer)
    found = [scorer.score(reference, hypothesis) for reference in references]
    scores_RT = np.array([[its[kind].fmeasure for kind in self.types] for its in found])
    match self.several:
      case "best_rouge1":
        return scores_RT[scores_RT[:, self.types.index("rouge1")].argmax()]
      case "maximum":
        return scores_RT.max(0)
      case _:
        return scores_RT.mean(0)


@functools.cache
def _scorer(types: tuple[Type, ...], stemmer: bool) -> Any:
  from rouge_score.rouge_scorer import RougeScorer  # here: it brings NLTK, seconds to import

  return RougeScorer(list(types), tokenizer=_Tokenizer(stemmer))


class _Tokenizer:
  """The tokenizer of rouge_score, which remembers: stemming takes most of the time, and references come again and again."""

  def __init__(self, stemmer: bool):
    from rouge_score.tokenizers import DefaultTokenizer

    self.tokenize = functools.lru_cache(maxsize=50_000)(DefaultTokenizer(stemmer).tokenize)
