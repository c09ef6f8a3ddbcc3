"""What the modes plan and learning_curve can be told."""

import dataclasses
import math
from typing import Literal

from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """For which devices the training step is compiled.

  Attributes:
    device: their names, as v5e:2x4,h100:8,cpu; host is what this machine has.
    compilations: how often the step may be compiled for each: once for the recipe as it is, more to find what else would do.
    prices: a JSON file with prices and powers of your own, {"v5e": {"dollars": 0.6, "watts": 180}}, a chip and hour each.
    budget: of a language model: operations, as 1e21,1e22, for each of which the best size and number of tokens are shown; none
      for those of the run, a tenth, ten times and a hundred times as many.
    law: of a language model: a JSON file with the constants of your own runs' law, {"E": ..., "A": ..., "B": ..., "alpha": ...,
      "beta": ...}; None for the published one.
  """

  device: tuple[str, ...] = ("host",)
  compilations: int = 6
  prices: str | None = None
  budget: tuple[float, ...] = ()
  law: str | None = None

  def __post_init__(self):
    if self.compilations < 1:
      raise ConfigError(f"compilations={self.compilations}: must be 1 or more")
    if not self.device:
      raise ConfigError("device: name at least one")
    if not all(0 < compute < math.inf for compute in self.budget):
      raise ConfigError(f"budget={','.join(map(str, self.budget))}: must be operations, above 0 each, as 1e21")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningCurve:
  """How much data is tried.

  Attributes:
    metric: split/metric of the curve; None for the accuracy of the first evaluation split, or its loss.
    num_sizes: different numbers of examples, the largest all there are.
    ratio: from one to the next.
    keep: what stays the same with fewer examples: the steps of training, or the epochs.
    beside: a member of the same comparison, whose need of data is compared: the recipe without pretrained weights.
    reach: values of the metric whose need of data is asked for.
    level: of the intervals.
  """

  metric: str | None = None
  num_sizes: int = 6
  ratio: float = 2.0
  keep: Literal["steps", "epochs"] = "steps"
  beside: str | None = None
  reach: tuple[float, ...] = ()
  level: float = 0.9

  def __post_init__(self):
    if self.num_sizes < 3 or self.ratio <= 1:
      raise ConfigError(f"num_sizes={self.num_sizes}, ratio={self.ratio}: at least 3 sizes, each more than once the one before")
    if not 0 < self.level < 1:
      raise ConfigError(f"level={self.level}: must be above 0 and below 1")
