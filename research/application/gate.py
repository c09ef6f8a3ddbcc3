"""What must be true of a bundle before it is one: it answers as the live model does, from a person's file to the last label."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from research.application.runtime import Bundle, Prepared
from research.config import UserError
from research.tasks.application import Application

TOLERANCE = 1e-5


class GateError(UserError):
  """A bundle that does not answer as the live model does."""


@dataclasses.dataclass(frozen=True)
class Examples:
  """Real examples.

  Attributes:
    inputs: as people give them.
    features: what the live pipeline makes of them: a value for each, without padding.
    raw: the same examples before texts became numbers.
  """

  inputs: Sequence[bytes | str]
  features: Mapping[str, Any]
  raw: Mapping[str, Any]


class Gate:
  """A bundle beside the live model on real examples. The live answers are computed once, whatever is then held against them.

  Args:
    bundle: loaded from its folder; its weights may be stored with fewer bits.
    live: batch -> arrays (B, ...) by name, never exported.
    application: what is compared.
    examples: of an evaluation.
    max_loss: by how much the metric may be worse where weights have fewer bits; equal answers are asked for otherwise.
  """

  def __init__(self, bundle: Bundle, live: Callable, application: Application, examples: Examples, *, max_loss: float):
    self._bundle, self._application, self._examples, self._max_loss = bundle, application, examples, max_loss
    self._prepared = [bundle.prepare(value) for value in examples.inputs]
    shapes = sorted({item.shape for item in self._prepared})
    # Examples of one shape are run together: where they are, and the live model's arrays.
    at = [[i for i, item in enumerate(self._prepared) if item.shape == shape] for shape in shapes]
    self._live = [(its, live(_batch(bundle, examples.features, self._prepared, its, shape)))
                  for its, shape in zip(at, shapes, strict=True)]
    self._answers = self._words([arrays for _, arrays in self._live])

  def compare(self, answering: Callable[[Sequence[Prepared]], dict] | None = None, what: str = "its") -> dict[str, Any]:
    """Compares the bundle with the live model.

    Args:
      answering: in place of the bundle's own `arrays`: of another format.
      what: "its" answers, or "its onnx" ones, for an error.

    Returns:
      What was seen, as JSON values.

    Raises:
      GateError: they differ by more than is allowed.
    """
    num, largest, same, found = len(self._prepared), 0.0, np.zeros(len(self._prepared), bool), []
    for at, theirs in self._live:
      ours = _whole(answering or self._bundle.arrays, [self._prepared[i] for i in at], self._bundle.spec["batch_sizes"][-1])
      found.append(ours)
      for name, array in theirs.items():
        if np.issubdtype(array.dtype, np.floating):
          largest = max(largest, float(np.abs(ours[name].astype(np.float64) - array).max(initial=0.0)))
      whole = [name for name, array in theirs.items() if np.issubdtype(array.dtype, np.integer)]
      same[at] = [all(np.array_equal(ours[name][b], theirs[name][b]) for name in whole) for b in range(len(at))]
    seen: dict[str, Any] = {"examples": num, "same_tokens": int(same.sum()), "largest_difference": largest}
    quality = self._application.quality or (lambda answers, features, raw: ("equal answers", np.mean(
        [a == b for a, b in zip(answers, self._answers)])))
    (metric, before), (_, after) = (quality(answers, self._examples.features, self._examples.raw)
                                    for answers in (self._answers, self._words(found)))
    seen |= {"metric": metric, "live": float(before), "bundle": float(after)}
    storage = self._bundle.spec["weights"]
    if storage == "float32" and not (largest <= TOLERANCE and same.all()):
      raise GateError(f"no bundle was made: on {num} examples {what} answers differ from the live model's by {largest:.2g} "
                      f"(allowed is {TOLERANCE:g}), {num - int(same.sum())} of them in whole numbers")
    if not before - after <= self._max_loss:
      raise GateError(f"no bundle was made: with weights as {storage} {metric} falls from {before:.4f} to {after:.4f} on "
                      f"{num} examples; export.max_loss={self._max_loss:g} is allowed")
    return seen

  def _words(self, found: Sequence[Mapping[str, np.ndarray]]) -> list[dict]:
    """The answer to each example, of arrays for the examples of each shape."""
    words, answers = self._application.words.at(self._bundle.folder), [{}] * len(self._prepared)
    for (at, _), arrays in zip(self._live, found, strict=True):
      given = [{"features": self._prepared[i].features, "options": self._prepared[i].options} for i in at]
      for i, answer in zip(at, words(arrays, given), strict=True):
        answers[i] = answer
    return answers


def _whole(answering: Callable[[Sequence[Prepared]], dict], prepared: Sequence[Prepared], size: int) -> dict[str, np.ndarray]:
  parts = [answering(prepared[first:first + size]) for first in range(0, len(prepared), size)]
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batch(bundle: Bundle, features: Mapping[str, Sequence[Any]], prepared: Sequence[Prepared], at: Sequence[int],
           shape: int) -> dict[str, np.ndarray]:
  """A batch of the live pipeline's features, by no code of the runtime's."""
  lengths, batch = bundle.spec["lengths"][shape], {}
  for name in bundle.spec["features"]:
    rows = [np.asarray(features[name][i]) for i in at]
    if name in lengths:
      rows = [row[-lengths[name]:] if bundle.spec["keeps"] == "end" else row[:lengths[name]] for row in rows]
      batch[f"{name}_length"] = np.array([len(row) for row in rows], np.int32)
      rows = [np.pad(row, [(0, lengths[name] - len(row)), *[(0, 0)] * (row.ndim - 1)]) for row in rows]
    batch[name] = np.stack(rows)
  for name, about in bundle.spec["options"].items():
    if "dtype" in about:
      batch[name] = np.array([prepared[i].options[name] for i in at], about["dtype"])
  return {**batch, "mask": np.ones(len(at), np.float32), "index": np.zeros(len(at), np.int32)}
