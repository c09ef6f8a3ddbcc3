"""Some of another source's examples, chosen by what is known of them: a split by speakers."""

import dataclasses

import numpy as np
from etils import epath

from research.data.examples import DataError, Examples, Subset
from research.data.intake import Intake
from research.data.sources import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen(Source):
  """The examples of another source whose field has one of some values, or has none of them.

  Attributes:
    source: the other one.
    field: a feature of it, texts or whole numbers, that is known without reading files.
    values: as text.
    leave_out: takes the others.
  """

  source: Source
  field: str
  values: tuple[str, ...]
  leave_out: bool = False

  def open_all(self, data_dir: str | None) -> Examples:
    examples = self.source.open(data_dir)
    return Subset(examples, self._which(examples))

  def _which(self, examples: Examples) -> np.ndarray:
    known = examples.raw(np.arange(len(examples)))
    if self.field not in known:
      raise DataError(f"Chosen: there is no field {self.field!r}, only {', '.join(known)}")
    found = np.array([str(value) for value in known[self.field]])
    there = sorted(set(found.tolist()))
    if missing := sorted(set(self.values) - set(there)):
      raise DataError(f"Chosen: no example has {self.field}={missing[0]}; there are {', '.join(there[:20])}")
    chosen = np.flatnonzero(np.isin(found, self.values) != self.leave_out)
    if not len(chosen):
      raise DataError(f"Chosen: leaving out {self.field}={', '.join(self.values)} leaves no example")
    return chosen

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return self.source.files(data_dir)

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return self.source.class_names(data_dir)

  def intake(self, data_dir: str | None) -> Intake:
    inner = self.source.intake(data_dir)
    return dataclasses.replace(inner, examples=Subset(inner.examples, self._which(inner.examples))).part(self)
