"""One sentence of the abstract as the summary of a paper: the first, and the best there is, chosen in two ways."""

import collections
import dataclasses

from research.config import ConfigError
from research.data.files import find
from research.evaluation.extracts import exhaustive_oracle, greedy_oracle, joined, lead, set_f1
from research.figures import Figure, Series, Table
from research.metrics.summarization import Rouge
from research.studies.base import Findings, Parts, Study
from research.studies.summaries import read, score

_TEXT = "text/scitldr_a/test.jsonl.gz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SciTLDRExtractive(Study):
  """Scores extracts of SciTLDR's test abstracts against the several summaries of each.

  Attributes:
    rouge: the metric.
    greedy_sentences: the most that the greedy extract may have.
    examples: how many papers to show.
  """

  rouge: Rouge = Rouge(several="best_rouge1")
  greedy_sentences: int = 3
  examples: int = 3

  def __post_init__(self):
    if "rouge1" not in self.rouge.types or self.rouge.several is None:
      raise ConfigError(f"rouge.types={self.rouge.types}, rouge.several={self.rouge.several}: rouge1 must be among the types, "
                        "and what counts of several references must be said")

  def check(self, data_dir) -> None:
    find(None if data_dir is None else str(data_dir), _TEXT)

  def measure(self, seed: int, parts: Parts) -> Findings:
    del seed  # nothing here is random
    papers = read(_TEXT, parts)
    abstracts, references = papers["source"], papers["target"]
    single = dataclasses.replace(self.rouge, types=("rouge1",), several=None)
    rouge1 = lambda hypothesis, reference: single.scores(hypothesis, [reference])[0]
    choose = {"set": lambda abstract, its: exhaustive_oracle(abstract, its, set_f1),
              "rouge1": lambda abstract, its: exhaustive_oracle(abstract, its, rouge1),
              "greedy": lambda abstract, its: greedy_oracle(abstract, its, rouge1, self.greedy_sentences)}
    by_set, by_rouge1, greedy = parts.each(
        "extracts", choose, lambda name: [choose[name](*both) for both in zip(abstracts, references)])
    texts = lambda extracts: [[joined(*both) for both in zip(abstracts, extracts)]]
    first = [[lead(abstract, 1) for abstract in abstracts]]
    systems = {"first": first, "oracle_set": texts(by_set), "oracle_rouge1": texts(by_rouge1), "greedy": texts(greedy)}
    _, found = score(systems, references, self.rouge, parts)
    _, mean = score({"first_mean": first}, references, dataclasses.replace(self.rouge, several="mean"), parts)
    rows = [(lead(abstract, 1), abstract[best], its[0]) for abstract, (best,), its in zip(abstracts, by_set, references)]
    return dataclasses.replace(
        found, metrics=found.metrics | mean.metrics, intervals=found.intervals | mean.intervals,
        signatures=found.signatures | mean.signatures,
        figures=(*found.figures, self._places(by_set),
                 Table("Examples", ("first sentence", "oracle by sets of words", "a reference"), tuple(rows[:self.examples]))),
        notes=("ROUGE is that of rouge_score with a stemmer; the paper used files2rouge, the Perl script.",
               "The oracle is one sentence, chosen by the F1 of the sets of words, in essence what the authors chose by; "
               "chosen by ROUGE-1 itself it is better still.",
               "Of several references the one with the best ROUGE-1 counts, as in the authors' script. The mean over the "
               f"references would give the first sentence {mean.metrics['first_mean/rouge1']:.1f} instead of "
               f"{found.metrics['first/rouge1']:.1f}.",
               f"Up to {self.greedy_sentences} sentences added greedily reach ROUGE-1 {found.metrics['greedy/rouge1']:.1f}."))

  def _places(self, oracle) -> Figure:
    """Where in the abstract the oracle sentence stands."""
    count = collections.Counter(best + 1 for best, in oracle)
    places = range(1, max(count) + 1)
    return Figure("Place of the oracle sentence", "sentence of the abstract", "share of papers",
                  (Series("oracle by sets of words", list(places), [count[i] / len(oracle) for i in places], "bars"),),
                  "Where the best sentence is not the first, the first is no good summary.",
                  facts=(("Share of papers whose first sentence is the best", count[1] / len(oracle)),))
