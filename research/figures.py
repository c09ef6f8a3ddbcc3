"""Figures as data: what a run wants shown, without a plotting library.

A study or a training run returns these; they are saved as JSON beside its numbers, merged over seeds and drawn by
`research/report/`. Nothing here imports jax or matplotlib.
"""

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Scale = Literal["linear", "log"]


def _floats(values) -> tuple[float, ...]:
  return tuple(np.asarray(values, np.float64).ravel().tolist())


@dataclasses.dataclass(frozen=True)
class Series:
  """One named curve, set of points or set of bars.

  Attributes:
    label: its name in the legend; the same label in several seeds is drawn as one series with its spread.
    x: positions, or names; kept as a tuple of floats or of strings.
    y: values, as long as `x`; kept as a tuple of floats.
    kind: "line" (measured), "points" (measured, unordered), "bars", or "theory" (the paper's curve, drawn dashed).
  """

  label: str
  x: ArrayLike
  y: ArrayLike
  kind: Literal["line", "points", "bars", "theory"] = "line"

  def __post_init__(self):
    x = np.asarray(self.x)
    x, y = tuple(x.tolist()) if x.dtype.kind == "U" else _floats(x), _floats(self.y)
    assert len(x) == len(y), (self.label, len(x), len(y))
    object.__setattr__(self, "x", x)
    object.__setattr__(self, "y", y)


@dataclasses.dataclass(frozen=True)
class Mark:
  """A reference line across the figure: a target, a theoretical value, a phase change."""

  axis: Literal["x", "y"]
  value: float
  label: str


@dataclasses.dataclass(frozen=True)
class Figure:
  """One plot. `caption` says in a sentence what the reader should see in it."""

  title: str
  x_label: str
  y_label: str
  series: tuple[Series, ...]
  caption: str = ""
  x_scale: Scale = "linear"
  y_scale: Scale = "linear"
  marks: tuple[Mark, ...] = ()


@dataclasses.dataclass(frozen=True)
class Picture:
  """One small image: `pixels` is uint8, (height, width) grey or (height, width, 3) colour, as nested tuples."""

  label: str
  pixels: tuple

  @classmethod
  def of(cls, label: str, array) -> "Picture":
    """Scales a float array (H, W) or (H, W, 3) from its own minimum..maximum to 0..255; uint8 is kept as it is."""
    array = np.asarray(array)
    if array.dtype != np.uint8:
      low, high = float(array.min()), float(array.max())
      array = np.round((array - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    return cls(label, tuple(map(tuple, array.tolist())) if array.ndim == 2 else
               tuple(tuple(map(tuple, row)) for row in array.tolist()))


@dataclasses.dataclass(frozen=True)
class Pictures:
  """A grid of small images, one tuple a row."""

  title: str
  rows: tuple[tuple[Picture, ...], ...]
  caption: str = ""
