"""Figures as data: what a run wants shown, without a plotting library.

A study or a training run returns these; they are saved as JSON beside its numbers, merged over seeds and drawn by
`research/report/`. Nothing here imports jax or matplotlib.
"""

import base64
import dataclasses
import io
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Scale = Literal["linear", "log"]

_LARGE, _SHOWN = 64, 160  # pixels a side: what is shown pixel by pixel, and what a photograph is reduced to


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
  """One plot. `caption` says in a sentence what the reader should see in it.

  Attributes:
    facts: (name, value) of numbers that belong to the plot; over several seeds each shows its own.
    alone: the axes of one seed mean nothing to another, so that only the first seed's is drawn.
  """

  title: str
  x_label: str
  y_label: str
  series: tuple[Series, ...]
  caption: str = ""
  x_scale: Scale = "linear"
  y_scale: Scale = "linear"
  marks: tuple[Mark, ...] = ()
  facts: tuple[tuple[str, float], ...] = ()
  alone: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
  """One small image and what is written below it: `image` is a data URI, or "" if there is nothing to show."""

  label: str
  image: str

  @classmethod
  def of(cls, label: str, array) -> "Picture":
    """Encodes an array (H, W), (H, W, 1) or (H, W, 3), as small as a page can carry it.

    A float array is scaled from its own minimum..maximum to 0..255. What is uint8 is kept as it is, unless it is larger than
    a page shows it: then it is a photograph, which becomes a JPEG of at most 160 pixels a side.
    """
    from PIL import Image  # here: most of what has figures has no pictures

    array = np.asarray(array)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if not array.size or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
      return cls(label, "")
    is_photo = array.dtype == np.uint8 and max(array.shape[:2]) > _LARGE
    if array.dtype != np.uint8:
      finite = array[np.isfinite(array)]
      low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
      scaled = np.nan_to_num((array - low) / max(high - low, 1e-12) * 255, nan=0.0)
      array = np.round(np.clip(scaled, 0, 255)).astype(np.uint8)
    image, out = Image.fromarray(array), io.BytesIO()
    if is_photo:
      image.thumbnail((_SHOWN, _SHOWN))
      image.save(out, "JPEG", quality=85)
    else:
      image.save(out, "PNG", optimize=True)
    kind = "jpeg" if is_photo else "png"
    return cls(label, f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}")


@dataclasses.dataclass(frozen=True)
class Pictures:
  """A grid of small images, one tuple a row; a single row may be broken where the page ends."""

  title: str
  rows: tuple[tuple[Picture, ...], ...]
  caption: str = ""


@dataclasses.dataclass(frozen=True)
class Matrix:
  """Counts as a table whose cells are shaded by their share of the row, as of true (rows) and predicted classes.

  Attributes:
    rows, columns: their names; cells of equal names are what should be, the others are errors (see `alike`).
    counts: a tuple a row.
    alike: no cell is an error: rows and columns are different things, as words of two languages.
  """

  title: str
  rows: tuple[str, ...]
  columns: tuple[str, ...]
  counts: tuple[tuple[int, ...], ...]
  row_label: str = ""
  column_label: str = ""
  caption: str = ""
  alike: bool = False


@dataclasses.dataclass(frozen=True)
class Marked:
  """A text with some of it marked: (piece, whether it is marked), which joined make the text."""

  pieces: tuple[tuple[str, bool], ...]


@dataclasses.dataclass(frozen=True)
class Shaded:
  """A text whose pieces are shaded by their weights: (piece, weight), 0 for none; -1 in the other color, 1 in the first."""

  pieces: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Utterance:
  """Something that was said.

  Attributes:
    label: what is to be known of it.
    reference, hypothesis: what was said and what was understood, differences marked.
    picture: a data URI: time from left to right; "" if there is none.
    words: (word, share of the time at which it begins, at which it ends, whether it is wrong).
    sound: a data URI, or "" if it is not to be heard.
  """

  label: str
  reference: Marked
  hypothesis: Marked
  picture: str = ""
  words: tuple[tuple[str, float, float, bool], ...] = ()
  sound: str = ""


@dataclasses.dataclass(frozen=True)
class Utterances:
  """Utterances one below the other, to be seen and heard."""

  title: str
  items: tuple[Utterance, ...]
  caption: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of words and numbers."""

  title: str
  head: tuple[str, ...]
  rows: tuple[tuple[str | float | Marked | Shaded, ...], ...]
  caption: str = ""
