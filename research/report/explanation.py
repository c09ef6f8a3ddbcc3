"""What a report shows of explanations: pictures with maps laid over them, texts with shaded tokens, and how far to trust them.

H rows, W columns, C channels of a picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from research.figures import Figure, Picture, Pictures, Series, Shaded, Table
from research.report.text import alignment

_SIDE = 320  # pixels: what is smaller is enlarged, to not more than that
_SHOWN = 8  # examples, answers of a text, training examples
_MEASURES = ("deletion", "insertion", "mu_fidelity", "infidelity", "sensitivity", "completeness_gap")
_CAPTION = (
    "Means over examples with 95 % intervals. Deletion: area under the score while the most important parts are taken away, as "
    "a share of what the input adds to the score: small is good. Insertion: while they are brought in: large is good. "
    "MuFidelity: correlation of what a map says a quarter of the input is worth and what the score loses without it. "
    "Infidelity: the share of that which the map does not tell, 0 to 1. Sensitivity: largest relative change of the map under "
    "a small change of the input. Completeness gap: by how much the parts miss the whole. Faithful: insertion less deletion "
    "and MuFidelity are above the random map's with certainty. Insensitive to the model: the map stays when all layers forget.")


def overlay(shown: np.ndarray, map_P: np.ndarray) -> np.ndarray:
  """(H, W, 3) uint8: an input in grey with its map in colour, red for what speaks for the answer, blue for what speaks against.

  Args:
    shown: (H, W), (H, W, 1) or (H, W, 3), as `picture_of` gives it.
    map_P: (H, W), of the same places; the colours are full at its 99th percentile.
  """
  grey = np.asarray(shown, np.float64).reshape(*map_P.shape, -1).mean(-1, keepdims=True)
  weight = np.clip(map_P / max(float(np.percentile(np.abs(map_P), 99)), 1e-30), -1, 1)[..., None]
  color = np.where(weight >= 0, np.array([224.0, 32.0, 16.0]), np.array([16.0, 80.0, 224.0]))
  background = 255 - (255 - grey) * 0.75  # pale, so that the colours are seen on dark and on light
  return enlarged(np.round(background + 0.8 * np.abs(weight) * (color - background)).astype(np.uint8))


def picture_of(x: np.ndarray, num_places: int) -> np.ndarray | None:
  """An input as a picture (H, W, C) uint8: images scaled to what is seen; None of what is no picture."""
  if num_places != 2 or x.shape[2:] not in ((), (1,), (3,)):
    return None
  if x.dtype == np.uint8:
    return x.reshape(*x.shape[:2], -1)
  low, high = float(x.min()), float(x.max())
  return np.round(255 * (x - low) / max(high - low, 1e-12)).astype(np.uint8).reshape(*x.shape[:2], -1)


def upright(array: np.ndarray) -> np.ndarray:
  """A spectrogram (T, F, ...) as people look at it: time to the right, frequency upwards."""
  return np.swapaxes(array, 0, 1)[::-1]


def enlarged(pixels: np.ndarray) -> np.ndarray:
  """Small pictures with each pixel several times as large."""
  factor = max(1, _SIDE // max(pixels.shape[:2]))
  return pixels.repeat(factor, 0).repeat(factor, 1)


def pictures(examples: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> Pictures:
  """A row an example, a column a method.

  Args:
    examples: "words", "picture" (H, W, C) and "overlays", method to (H, W, 3).
    methods: the columns, which all examples have.
  """
  rows = [(Picture.of(its["words"], enlarged(its["picture"])),
           *(Picture.of(name.replace("_", " "), its["overlays"][name]) for name in methods)) for its in examples[:_SHOWN]]
  return Pictures("Where the answers come from", tuple(rows),
                  "Red speaks for the answer, or matters; blue speaks against it. Each map has its own scale.")


def texts(answers: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> tuple[Table, ...]:
  """A table an answer: each method's shading of the texts that it was made from.

  Args:
    answers: "words", "segments": (name, tokens) of each text, "counts" (U,) and "maps", method to (U,).
    methods: the rows.
  """
  tables = []
  for its in answers[:_SHOWN]:
    rows = []
    for name in methods:
      weights = np.where(its["counts"], its["maps"][name], 0)
      weights = weights / max(float(np.abs(weights).max()), 1e-30)
      place, cells = 0, []
      for _, tokens in its["segments"]:
        pairs = zip(tokens, weights[place:place + len(tokens)], its["counts"][place:place + len(tokens)])
        cells.append(Shaded(tuple((token, float(w)) for token, w, counts in pairs if counts)))
        place += len(tokens)
      rows.append((name.replace("_", " "), *cells))
    tables.append(Table(its["words"], ("method", *(name for name, _ in its["segments"])), tuple(rows)))
  return tuple(tables)


def aligned(words: str, rows: Sequence[Mapping[str, Any]], method: str, title: str):
  """A text's tokens against those of its source, by one method: see `research.report.text.alignment`."""
  source = rows[0]["segments"][0][1]
  keep = np.flatnonzero(rows[0]["counts"][:len(source)])
  weights = np.maximum(np.stack([np.asarray(its["maps"][method])[keep] for its in rows]), 0)
  return alignment(weights, [its["answer"] for its in rows], [source[i] for i in keep], title=title, caption=words)


def faithfulness(summary: Mapping[str, Mapping[str, Any]], missing: Mapping[str, str]) -> tuple[Table | Figure, ...]:
  """The table of verdicts, what is left of the maps when layers are forgotten, and what there is not."""
  shown = [m for m in _MEASURES if any(m in its for its in summary.values())]
  cell = lambda its: "" if its is None else f"{its['mean']:.3f} ({its['low']:.3f} to {its['high']:.3f})"
  rows = tuple((name.replace("_", " "), its.get("verdict", ""), *(cell(its.get(m)) for m in shown))
               for name, its in summary.items())
  made: list[Table | Figure] = [Table("How far each map can be trusted", (
      "method", "verdict", *(m.replace("_", " ") for m in shown)), rows, _CAPTION)]
  forgot = {name: its["rank correlation after forgetting"] for name, its in summary.items()
            if its.get("rank correlation after forgetting")}
  for kind, title in (("from", "Maps as the network forgets, from the top"), ("only", "Maps when one part is forgotten")):
    nets = [net for net in next(iter(forgot.values()), {}) if net.startswith(kind)]
    if nets:
      at = [str(i) for i in range(1, len(nets) + 1)]
      series = tuple(Series(name.replace("_", " "), at, [its[net]["mean"] for net in nets]) for name, its in forgot.items())
      caption = "; ".join(f"{i}: {net}" for i, net in enumerate(nets, 1))
      made.append(Figure(title, "what was forgotten", "rank correlation of |map| with the trained network's", series,
                         f"{caption}. What stays high shows the input, not what was learned."))
  if missing:
    made.append(Table("Methods that this network has nothing for", ("method", "why"),
                      tuple((name.replace("_", " "), why) for name, why in missing.items())))
  return tuple(made)


def influence(title: str, explained: Sequence[Mapping[str, Any]], caption: str) -> Pictures | Table:
  """The most helpful and the most harmful training examples.

  Args:
    title: which influence it is.
    explained: "words", "picture" or None, and "helpful" and "harmful": (words, picture or None) of each.
    caption: what the numbers are.
  """
  if explained[0]["picture"] is None:
    rows = tuple((its["words"], kind, words) for its in explained for kind in ("helpful", "harmful") for words, _ in its[kind])
    return Table(title, ("explained", "training example is", "training example"), rows, caption)
  picture = lambda words, pixels: Picture.of(words, enlarged(pixels))
  rows = [(picture(its["words"], its["picture"]), *(picture(f"{kind}: {words}", pixels) for kind in ("helpful", "harmful")
                                                    for words, pixels in its[kind])) for its in explained]
  return Pictures(title, tuple(rows), caption)
