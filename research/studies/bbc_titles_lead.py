"""How much of a news article's title each of its first sentences tells."""

import dataclasses
import re

from research.data.sources import find
from research.evaluation.extracts import lead
from research.metrics.significance import paired_bootstrap
from research.metrics.summarization import Rouge, percent
from research.studies.base import Findings, Parts, Study
from research.studies.summaries import read, score

_TEXT = "text/bbc_news_summary/test.jsonl.gz"
_BETWEEN = re.compile(r"(?<=[.!?])\s+|\n")  # sentences; "Mr. Smith" is cut in two, which the claim survives


@dataclasses.dataclass(frozen=True, kw_only=True)
class BBCTitlesLead(Study):
  """Scores each of the first sentences as the title, over the articles that have as many.

  Attributes:
    rouge: the metric.
    num_sentences: how many.
  """

  rouge: Rouge = Rouge()
  num_sentences: int = 6

  def check(self, data_dir) -> None:
    find(None if data_dir is None else str(data_dir), _TEXT)

  def measure(self, seed: int, parts: Parts) -> Findings:
    del seed  # nothing here is random
    news = read(_TEXT, parts)
    split = ([s for s in _BETWEEN.split(article) if s.strip()] for article in news["article"])
    articles, titles = zip(*(its for its in zip(split, news["title"]) if len(its[0]) >= self.num_sentences))
    systems = {f"sentence_{i + 1}": [[lead(its[i:], 1) for its in articles]] for i in range(self.num_sentences)}
    rows, found = score(systems, [[title] for title in titles], self.rouge, parts)
    first, *others = systems
    metrics, intervals = {}, {}
    for kind in self.rouge.types:
      best = max(others, key=lambda name: found.metrics[f"{name}/{kind}"])
      gap = paired_bootstrap(rows[best][kind], rows[first][kind], percent)
      metrics[f"first_over_best_other/{kind}"], intervals[f"first_over_best_other/{kind}"] = gap.value, gap.interval
    return dataclasses.replace(
        found, metrics=found.metrics | metrics, intervals=found.intervals | intervals,
        notes=(f"{len(titles)} articles of at least {self.num_sentences} sentences, which are cut at full stops.",
               "The paper's claim is of summaries of news; titles are put in their place here."))
