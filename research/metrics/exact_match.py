"""Whether a whole text is as it should be."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from research.metrics.base import Metric


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactMatch:
  """The share of texts that equal a reference of theirs, blanks at the ends and how many blanks apart. Rows (equal, 1)."""

  @property
  def metrics(self) -> dict[str, Metric]:
    return {"exact_match": Metric(signature="whole text", better="higher")}

  def rows(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """(N, 2) of N texts and the references of each."""
    plain = lambda text: " ".join(text.split())
    equal = [plain(text) in map(plain, its) for text, its in zip(hypotheses, references, strict=True)]
    return {"exact_match": np.stack([np.array(equal, np.float64), np.ones(len(equal))], 1)}
