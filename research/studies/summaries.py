"""What studies of summaries share: systems that need no model, scored alike. N texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from research.data.sources import JSONL
from research.figures import Figure, Series
from research.metrics.base import bootstrap
from research.metrics.summarization import Rouge
from research.studies.base import Findings, Parts


def read(path: str, parts: Parts) -> dict[str, list[Any]]:
  """The columns of a file of texts."""
  opened = JSONL(path=path).open(None if parts.data_dir is None else str(parts.data_dir))
  return {name: list(column) for name, column in opened.read(np.arange(len(opened))).items()}


def score(systems: Mapping[str, Sequence[Sequence[str]]], references: Sequence[Sequence[str]], rouge: Rouge,
          parts: Parts) -> tuple[dict[str, dict[str, np.ndarray]], Findings]:
  """ROUGE of every system with 95 % intervals over the texts, as metrics named system/type.

  Args:
    systems: name to its N summaries, once a writer: of several writers each text has the mean.
    references: of each text.
    rouge: what to compute.
    parts: where each system's scores are kept.

  Returns:
    rows (N, 2) by system and type, and the findings, with bars of all.
  """
  def scored(name):
    written = [rouge.rows(texts, references) for texts in systems[name]]
    return {kind: np.mean([rows[kind][:, 0] for rows in written], axis=0) for kind in rouge.types}

  found, rows, metrics, intervals, signatures = parts.each("scores", systems, scored), {}, {}, {}, {}
  for system, by_kind in zip(systems, found):
    rows[system] = {kind: np.stack([values, np.ones(len(values))], 1) for kind, values in by_kind.items()}
    for kind, metric in rouge.metrics.items():
      name, its = f"{system}/{kind}", rows[system][kind]
      metrics[name], intervals[name] = metric.value(its.sum(0)), bootstrap(its, metric.value)
      signatures[name] = metric.signature
  names = [name.replace("_", " ") for name in systems]
  bars = tuple(Series(kind, names, [metrics[f"{name}/{kind}"] for name in systems], "bars") for kind in rouge.types)
  figure = Figure("ROUGE of summaries without a model", "", "F1 x 100", bars)
  return rows, Findings(metrics=metrics, figures=(figure,), intervals=intervals, signatures=signatures)
