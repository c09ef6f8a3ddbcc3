"""Examples prepared once, for experiments whose transforms begin with work that is the same in every epoch."""

import dataclasses
import functools

import numpy as np

from research.data.examples import Columns, DataError, Examples
from research.data.intake import Intake
from research.data.loading import Loader
from research.data.sources import Source
from research.preprocessing.transform import Transform

_BLOCK = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared(Source):
  """What transforms make of another source's examples: done when the source is opened, once a process, and kept in memory.

  Attributes:
    source: the examples.
    transforms: done to them in their form for evaluation; what augments belongs to the data's own transforms.
  """

  source: Source
  transforms: tuple[Transform, ...]

  def open_all(self, data_dir: str | None) -> Examples:
    return _prepared(self.source, self.transforms, None if data_dir is None else str(data_dir))

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return self.source.class_names(data_dir)

  def intake(self, data_dir: str | None) -> Intake:
    return self.source.intake(data_dir).then(self.transforms).part(self)


@functools.lru_cache(maxsize=8)
def _prepared(source: Source, transforms: tuple[Transform, ...], data_dir: str | None) -> Columns:
  examples = source.open(data_dir)
  loader, blocks = Loader(examples, transforms, None), []
  for start in range(0, len(examples), _BLOCK):
    at = np.arange(start, min(start + _BLOCK, len(examples)))
    block, broken = loader.load(at, np.zeros_like(at))
    if broken:
      raise DataError(f"{broken[0].key} cannot be read: {broken[0].error}")
    blocks.append(block)
  return Columns({name: np.concatenate([block[name] for block in blocks]) for name in loader.spec},
                 [examples.key(i) for i in range(len(examples))])
