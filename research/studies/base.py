"""The form of a result that is not one training run: a function from settings and seed to findings.

A study is a frozen dataclass. Its fields are its settings (each a flag), `measure` is its body. Work is done in named
parts; each is computed once and saved, so that a killed study goes on at the first part it had not finished.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from research.config import outside
from research.figures import Figure, Matrix, Pictures, Table, Utterances
from research.paper import Paper, Target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
  """What one seed of an experiment gave.

  Attributes:
    metrics: name to value, finite or not.
    figures: in the order the report shows them.
    intervals: 95 % intervals of metrics that have one within a seed.
    signatures: protocols of metrics that have one.
    notes: what a reader must know beside the numbers, a sentence each.
    seconds: where the time went, by name.
    stopped: what ended the training before its last step, "" if nothing did.
    compute: of each training run, "" or a member's name, what it took: device, devices, step_seconds, hours, program_bytes
      (that the compiled step holds on a device) and peak_bytes (that the backend saw there; None where it does not say).
  """

  metrics: dict[str, float]
  figures: tuple[Figure | Matrix | Pictures | Table | Utterances, ...] = ()
  intervals: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
  signatures: dict[str, str] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)
  stopped: str = ""
  compute: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    object.__setattr__(self, "metrics", {name: float(value) for name, value in self.metrics.items()})


def total_seconds(findings: Iterable[Findings]) -> dict[str, float]:
  """Where the time of several went, added by name."""
  total: dict[str, float] = {}
  for found in findings:
    for part, value in found.seconds.items():
      total[part] = total.get(part, 0.0) + value
  return total


class Parts(Protocol):
  """Where a study keeps the finished parts of its work."""

  @property
  def data_dir(self) -> Any:
    """The folder that holds datasets (etils.epath), or None."""
    ...

  def each(self, name: str, items: Iterable[Any], compute: Callable[[Any], Any]) -> list[Any]:
    """Returns [compute(item) for item in items], computing only what was not saved before.

    Each result is saved as `name=item` when it is finished. A result is JSON: numbers, strings, lists and
    dictionaries of them; numpy and jax arrays are saved as lists, and come back as lists in either case.
    """
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
  """Base of all studies.

  Attributes:
    paper: where the result was published.
    targets: what it must show.
    seeds: the seeds that the verdict is on.
  """

  paper: Paper = outside()
  targets: tuple[Target, ...] = outside()
  seeds: tuple[int, ...] = outside((0, 1, 2))

  def measure(self, seed: int, parts: Parts) -> Findings:
    """Runs the study for one seed."""
    raise TypeError(f"{type(self).__name__} defines no measure")

  def check(self, data_dir) -> None:
    """Raises UserError for what can be known to fail before any work. Nothing by default."""
    del data_dir

  def evaluate(self, seed: int, parts: Parts) -> Findings:
    """Measures again from the parts that were saved."""
    return self.measure(seed, parts)

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    """What follows from all seeds together: metrics and figures that no single seed has. None by default."""
    del findings
    return Findings(metrics={})

  def objective(self, seed: int, data_dir=None) -> tuple[Callable[[Any], Any], Any] | None:
    """A loss this study minimises and parameters to check its gradient at, or None if it has none."""
    del seed, data_dir
    return None
