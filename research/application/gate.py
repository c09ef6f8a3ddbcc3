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


def compare(bundle: Bundle, live: Callable, application: Application, examples: Examples, *, max_loss: float,
            answering: Callable[[Sequence[Prepared]], dict] | None = None, what: str = "its") -> dict[str, Any]:
  """Compares a bundle that was loaded from its folder with the live model.

  Args:
    bundle: its weights may be stored with fewer bits.
    live: batch -> arrays (B, ...) by name, never exported.
    application: what is compared.
    examples: of an evaluation.
    max_loss: by how much the metric may be worse where weights have fewer bits; equal answers are asked for otherwise.
    answering: in place of the bundle's own `arrays`: of another format.
    what: "its" answers, or "its onnx" ones, for an error.

  Returns:
    What was seen, as JSON values.

  Raises:
    GateError: they differ by more than is allowed.
  """
  prepared = [bundle.prepare(value) for value in examples.inputs]
  num, largest, same = len(prepared), 0.0, np.zeros(len(prepared), bool)
  answers: dict[str, list[dict]] = {"bundle": [{}] * num, "live": [{}] * num}
  for shape in sorted({item.shape for item in prepared}):
    at = [i for i, item in enumerate(prepared) if item.shape == shape]
    ours = _whole(answering or bundle.arrays, [prepared[i] for i in at], bundle.spec["batch_sizes"][-1])
    theirs = live(_batch(bundle, examples.features, prepared, at, shape))
    for name, array in theirs.items():
      if np.issubdtype(array.dtype, np.floating):
        largest = max(largest, float(np.abs(ours[name].astype(np.float64) - array).max(initial=0.0)))
    whole = [name for name, array in theirs.items() if np.issubdtype(array.dtype, np.integer)]
    same[at] = [all(np.array_equal(ours[name][b], theirs[name][b]) for name in whole) for b in range(len(at))]
    given = [{"features": prepared[i].features, "options": prepared[i].options} for i in at]
    for which, arrays in (("bundle", ours), ("live", theirs)):
      for i, answer in zip(at, application.words.at(bundle.folder)(arrays, given), strict=True):
        answers[which][i] = answer
  seen: dict[str, Any] = {"examples": num, "same_tokens": int(same.sum()), "largest_difference": largest}
  quality = application.quality or (lambda answers_, features, raw: ("equal answers", np.mean(
      [a == b for a, b in zip(answers_, answers["live"])])))
  (metric, before), (_, after) = (quality(answers[which], examples.features, examples.raw) for which in ("live", "bundle"))
  seen |= {"metric": metric, "live": float(before), "bundle": float(after)}
  storage = bundle.spec["weights"]
  if storage == "float32" and not (largest <= TOLERANCE and same.all()):
    raise GateError(f"no bundle was made: on {num} examples {what} answers differ from the live model's by {largest:.2g} "
                    f"(allowed is {TOLERANCE:g}), {num - int(same.sum())} of them in whole numbers")
  if not before - after <= max_loss:
    raise GateError(f"no bundle was made: with weights as {storage} {metric} falls from {before:.4f} to {after:.4f} on {num} "
                    f"examples; export.max_loss={max_loss:g} is allowed")
  return seen


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
