"""What translations are scored by: BLEU, chrF and TER of sacreBLEU, as rows that add up. N sentences, k statistics.

sacreBLEU counts, and finishes the sums: the value over all sentences is its corpus score, and the signature is its own. Its
per-sentence statistics are not public, and neither is what finishes them; both are called here only, its version is pinned,
and the tests compare with its corpus scores.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from research.config import ConfigError
from research.metrics.base import Metric


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SacreBleu:
  """Base of the three.

  Attributes:
    num_references: of each sentence.
    protocol: put behind the signature: how the text was made and written, as beam, length penalty, which checkpoint.
  """

  num_references: int = 1
  protocol: str = ""
  better: ClassVar[str] = "higher"

  def __post_init__(self):
    if self.num_references < 1:
      raise ConfigError(f"num_references={self.num_references}: must be 1 or more")

  @property
  def name(self) -> str:
    """What the metric is called."""
    raise TypeError(f"{type(self).__name__} defines no name")

  @property
  def details(self) -> tuple[str, ...]:
    """What the signature says beyond sacreBLEU's own."""
    return (self.protocol,)

  def scorer(self) -> Any:
    """The metric of sacreBLEU."""
    raise TypeError(f"{type(self).__name__} defines no scorer")

  @property
  def metrics(self) -> dict[str, Metric]:
    """How to finish the rows."""
    signature = "|".join(filter(None, (_signature(self), *self.details)))
    return {self.name: Metric(functools.partial(_value, self), signature, self.better)}

  def rows(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """The statistics of each sentence (N, k).

    Args:
      hypotheses: N sentences; an empty one is a sentence like any other.
      references: of each sentence `num_references` of them.
    """
    assert len(hypotheses) == len(references), (len(hypotheses), len(references))
    assert all(len(its) == self.num_references for its in references), f"each sentence needs {self.num_references} references"
    if not hypotheses:
      return {self.name: np.zeros((0, len(self.rows([""], [[""] * self.num_references])[self.name][0])))}
    statistics = _scorer(self)._extract_corpus_statistics(hypotheses, list(zip(*references)))
    return {self.name: np.array(statistics, np.float64)}


@functools.cache
def _scorer(metric: _SacreBleu) -> Any:
  return metric.scorer()


@functools.cache
def _signature(metric: _SacreBleu) -> str:
  scorer = metric.scorer()
  scorer.num_refs = metric.num_references  # else known to it only once it has scored something
  return scorer.get_signature().format()


def _value(metric: _SacreBleu, sums: np.ndarray) -> float:
  return float(_scorer(metric)._compute_score_from_stats(sums.tolist()).score)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bleu(_SacreBleu):
  """BLEU of a corpus (Papineni et al. 2002; Post 2018), 0 to 100. Rows (N, 10): length, length of the reference, n-grams of
  order 1 to 4 that match, n-grams there are.

  With `tokenize="none"` texts are ready tokens with spaces between. That is another metric and called `tokenized_bleu`.

  Attributes:
    tokenize: sacreBLEU's tokenizer: 13a is that of WMT, for text as people write it.
    lowercase: case is ignored.
    tokens: with `tokenize="none"`: what the ready tokens are (tokenizer, case, escaping, how subwords were joined), which
      goes into the signature.
  """

  tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
  lowercase: bool = False
  tokens: str = ""

  def __post_init__(self):
    super().__post_init__()
    if (self.tokenize == "none") != bool(self.tokens):
      raise ConfigError(f"tokens={self.tokens!r} with tokenize={self.tokenize}: say what the tokens are where they come ready "
                        "made (tokenize=none), and only there")

  @property
  def name(self) -> str:
    return "tokenized_bleu" if self.tokenize == "none" else "bleu"

  @property
  def details(self) -> tuple[str, ...]:
    return self.tokens, self.protocol

  def scorer(self) -> Any:
    from sacrebleu.metrics.bleu import BLEU  # here: a quarter of a second to import

    # force: no warning of text that looks tokenized. Here the metric's name says what it is.
    return BLEU(tokenize=self.tokenize, lowercase=self.lowercase, force=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chrf(_SacreBleu):
  """chrF2, the F-score of character n-grams of order 1 to 6 with recall twice as important (Popović 2015), 0 to 100; with
  `word_order=2` chrF2++ (Popović 2017). Rows (N, 3 a order): n-grams, n-grams of the reference, those that match.

  Attributes:
    word_order: up to which order n-grams of words count too.
  """

  word_order: int = 0

  @property
  def name(self) -> str:
    return "chrf" + "+" * self.word_order

  def scorer(self) -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=self.word_order)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ter(_SacreBleu):
  """Translation edit rate (Snover et al. 2006), in percent: edits (insertions, deletions, substitutions, shifts of blocks) for
  a reference word. Rows (N, 2): edits, length of the reference (the mean of several).

  Attributes:
    normalized: punctuation becomes words of its own.
    case_sensitive: case counts.
  """

  better: ClassVar[str] = "lower"
  normalized: bool = False
  case_sensitive: bool = False

  @property
  def name(self) -> str:
    return "ter"

  def scorer(self) -> Any:
    from sacrebleu.metrics.ter import TER

    return TER(normalized=self.normalized, case_sensitive=self.case_sensitive)
