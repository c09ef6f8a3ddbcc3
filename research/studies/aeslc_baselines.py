"""Subject lines of e-mail without a model: the first lines of the mail, and what other people wrote."""

import dataclasses

from research.data.files import find
from research.evaluation.extracts import lead
from research.metrics.significance import paired_bootstrap
from research.metrics.summarization import Rouge, percent
from research.studies.base import Findings, Parts, Study
from research.studies.summaries import read, score

_TEXT = "text/aeslc/dev.jsonl.gz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AESLCBaselines(Study):
  """Scores the first lines of each mail, and the subjects that three annotators wrote, against its own subject.

  No mail is shown: they are real people's.

  Attributes:
    rouge: the metric.
  """

  rouge: Rouge = Rouge()

  def check(self, data_dir) -> None:
    find(None if data_dir is None else str(data_dir), _TEXT)

  def measure(self, seed: int, parts: Parts) -> Findings:
    del seed  # nothing here is random
    mails = read(_TEXT, parts)
    lines = [body.split("\n") for body in mails["body"]]
    systems = {"first_line": [[lead(its, 1) for its in lines]], "first_two_lines": [[lead(its, 2) for its in lines]],
               "human": list(zip(*mails["annotations"], strict=True))}
    rows, found = score(systems, [[subject] for subject in mails["subject"]], self.rouge, parts)
    notes = [f"{len(lines):,} mails of the dev split. The paper's figures are of the test split, which is not among the data."]
    for kind in self.rouge.types:
      gap = paired_bootstrap(rows["first_line"][kind], rows["human"][kind], percent)
      notes.append(f"{kind}: people's subjects are better than the first line by {gap.value:.2f} "
                   f"[{gap.interval[0]:.2f}, {gap.interval[1]:.2f}] (paired bootstrap, p = {gap.p_value:.2g}).")
    return dataclasses.replace(found, notes=tuple(notes))
