"""What tasks share whose result is a text: how it is written in an evaluation, and what is measured of it.

Such a task has `writing` (a Writing, or None) and what follows, which `research/evaluation/writing.py` calls:

  write(model, batch)         on the devices: arrays (B, ...) by name, of which
  texts(written, tokenizer)   makes the text of each example, on the host;
  given(batch, written)       the batch as if that had been its target, to explain what was written; and
  size                        (record, unit): which of its `records` says how large an input is, and in what: "seconds".
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from research.decoding.ctc_search import BestPath, PrefixBeamSearch
from research.decoding.settings import Decoding
from research.decoding.spans import BestSpan
from research.decoding.transducer_search import TransducerGreedy
from research.metrics.base import TextMetric
from research.preprocessing.text.answers import Detokenizer
from research.preprocessing.text.base import Tokenizer
from research.tasks.base import Batch, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Against:
  """What is written, held against a reference.

  Attributes:
    metric: what is computed of both.
    reference: the feature that holds the text, or list of texts, that it should be.
    detokenize: makes text as people write it of what the tokenizer gives; None where that is such text, or none is wanted.
  """

  metric: TextMetric
  reference: str
  detokenize: Detokenizer | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Writing:
  """How an evaluation lets the model write, and what of it is measured.

  Attributes:
    decoding: the search.
    source: the feature that holds the source as people read it, for reports; None where it is not to be shown.
    against: the metrics.
  """

  decoding: Decoding | BestPath | PrefixBeamSearch | TransducerGreedy | BestSpan
  source: str | None = None
  against: tuple[Against, ...]


def references(texts) -> list[tuple[str, ...]]:
  """What a text should be, or several texts that it may be, for each example: always a tuple."""
  return [(text,) if isinstance(text, str) else tuple(text) for text in texts]


def first_figure(against: Against, answers: Sequence[Mapping[str, Any]], raw: Mapping[str, Any]) -> tuple[str, float]:
  """The name and the value of a metric, the first where it has several, of answers' texts held against their references."""
  rows = against.metric.rows([answer["text"] for answer in answers], references(raw[against.reference]))
  name, metric = next(iter(against.metric.metrics.items()))
  return name, metric.value(rows[name].sum(0))


def right(writing: Writing | None) -> Callable[[list[dict], Mapping[str, Any], Mapping[str, Any]], tuple[str, float]] | None:
  """Of an application that hears, its `quality`: 100 − the first error rate of `writing`, so that more is better."""
  if writing is None or not writing.against:
    return None

  def quality(answers, examples, raw):
    del examples
    name, value = first_figure(writing.against[0], answers, raw)
    return f"100 - {name}", 100 - value

  return quality


class WritingTask(Task, Protocol):
  """A task whose result is a text; see above."""

  @property
  def writing(self) -> Writing | None: ...

  @property
  def size(self) -> tuple[str, str]: ...

  def write(self, model: Any, batch: Batch) -> dict[str, jax.Array]: ...

  def texts(self, written: dict[str, np.ndarray], tokenizer: Tokenizer) -> list[str]: ...

  def given(self, batch: Batch, written: dict[str, jax.Array]) -> Batch: ...
