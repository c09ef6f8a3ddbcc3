"""What the modes plan and learning_curve can be told."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """For which devices the training step is compiled.

  Attributes:
    device: names of devices, as cpu, v5e:2x4, h100:8; the host's own where none is given.
  """

  device: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningCurve:
  """How much data is tried.

  Attributes:
    metric: split/metric of the curve; None for the accuracy or loss of the first evaluation split.
  """

  metric: str | None = None
