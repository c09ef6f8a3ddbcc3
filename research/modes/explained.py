"""What the mode explain shows of its examples: words, pictures, and files beside the report.

Shapes: B answers of a batch, P... places.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from research.data.loading import Loader
from research.interpretation.subject import Subject
from research.report import explanation
from research.trained import Trained
from research.training.progress import Progress
from research.workdir import Run

_PICTURES, _ALIGNED = 8, 2


class Watch:
  """Says how many maps are made, of all, and how often the network was called for them.

  Args:
    run: whose interruption is looked for.

  Attributes:
    total: maps.
  """

  def __init__(self, run: Run):
    self.total, self._run, self._progress = 0, run, None
    self._maps = self._calls = 0

  def begin(self, maps: int) -> None:
    """A part begins, before which there are so many maps."""
    self._maps = maps
    self._progress = self._progress or Progress(self.total, maps, self._run.label)

  def map(self) -> None:
    self._maps += 1

  def call(self) -> None:
    """Before each call of the network."""
    self._run.interruption.raise_if_requested()
    self._calls += 1
    if self._progress is not None:
      self._progress.line(self._maps, f"{self._calls:,} calls of the network", unit="map", every=10)


class Shown:
  """The examples that were explained.

  Args:
    trained: the network.
    subject: what is explained.
    batch: the examples as they were loaded.
    split: where they are from.
    at: their numbers there.
    folder: where pictures go.
  """

  def __init__(self, trained: Trained, subject: Subject, batch: Mapping[str, Any], split: str, at: np.ndarray,
               folder: epath.Path):
    self._trained, self._subject, self._at, self._folder = trained, subject, at, folder
    self._examples = trained.opened.evaluation[split]
    data_dir = None if trained.run.data_dir is None else str(trained.run.data_dir)
    self._classes = trained.data.evaluation[split].class_names(data_dir)
    self._loaded = {name: np.asarray(value) for name, value in batch.items()}
    units = subject.explainer.probe.units
    self._is_sound = not units.has_channels and len(units.places) == 2

  def save(self, batch: int, fine: Mapping[str, np.ndarray]) -> None:
    """Writes the overlays of a batch's maps (B, P...), of the first answers."""
    for i, (e, q) in enumerate(self._subject.rows_of(batch)):
      if (e, q) not in self._first() or (picture := self._picture(e)) is None:
        continue
      for name, maps in fine.items():
        its = explanation.upright(maps[i]) if self._is_sound else maps[i]
        with (self._folder / self._file(e, q, name)).open("wb") as file:
          Image.fromarray(explanation.overlay(picture, its)).save(file, "PNG")

  def answers(self, batches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What there is of each answer: its words, its maps by units, which of them count, and the texts it is from."""
    size, found = self._subject.size, []
    for n, (e, q) in enumerate(self._subject.rows):
      its, i = batches[n // size], n % size
      against = None if self._subject.against is None else self._word(self._subject.against[e, q])
      answer = self._word(self._subject.targets[e, q])
      segments = [(name, [self._token(name, t) for t in tokens[e]]) for name, tokens in self._subject.segments]
      key, place = self._examples.key(int(self._at[e])), f", token {q + 1}" if segments else ""
      found.append({
          "example": int(self._at[e]), "key": key, "row": e, "number": q, "answer": answer, "against": against,
          "words": f"{key}{place}: {answer}{self._truth(e)}",
          "change": its["change"][i], "segments": segments, "counts": its["counts"][i],
          "maps": {name: maps[i] for name, maps in its["maps"].items()}})
    return found

  def figures(self, answers: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple:
    """Overlays, or shaded texts and the alignment of the first ones."""
    if self._subject.segments:
      answers = sorted(answers, key=lambda a: (a["row"], a["number"]))
      made = list(explanation.texts(answers, names))
      best = next((n for n in ("integrated_gradients", "gradient_x_input", *names) if n in names), None)
      for e in list(dict.fromkeys(a["row"] for a in answers))[:_ALIGNED]:
        rows = [a for a in answers if a["row"] == e]
        if len(rows) > 1 and best:
          title = f"What each token comes from in the source, by {best.replace('_', ' ')}: example {rows[0]['key']}"
          made.append(explanation.aligned("", rows, best, title))
      return tuple(made)
    rows = []
    for e, q in self._first():
      picture = self._picture(e)
      if picture is not None:
        words = next(a["words"] for a in answers if (a["row"], a["number"]) == (e, q))
        overlays = {name: np.asarray(Image.open((self._folder / self._file(e, q, name)).open("rb"))) for name in names}
        rows.append({"words": words, "picture": picture, "overlays": overlays})
    return (explanation.pictures(rows, names),) if rows else ()

  def influence(self, taught: Mapping[str, Any]) -> tuple:
    """The training examples that helped and harmed most."""
    if not taught:
      return ()
    train = self._trained.opened.train
    assert train is not None
    made = []
    for title, ranked in taught["of"].items():
      explained = []
      for e, kinds in enumerate(ranked):
        one = {"words": f"{self._examples.key(int(self._at[e]))}{self._truth(e)}", "picture": self._picture(e)}
        for kind, pairs in kinds.items():
          one[kind] = [self._of_training(train, int(i), value) for i, value in pairs]
        if self._subject.segments:
          one |= {"words": self._text(self._examples, int(self._at[e])), "picture": None}
        explained.append(one)
      caption = ("Of each example the three that make its loss smallest, and largest. Positive: its loss would be higher "
                 "without the training example." + (
                     f" Exact for the last layer, the others being given; damping {taught['damping']:g}, residual "
                     f"{taught['residual']:.1e}." if "last layer" in title else " The checkpoints count alike."))
      made.append(explanation.influence(title[0].upper() + title[1:], explained, caption))
    return tuple(made)

  # --- words and pictures ---------------------------------------------------------------------------------------------

  def _first(self) -> list[tuple[int, int]]:
    """The answers of the first examples, one example's together."""
    return sorted(self._subject.rows)[:_PICTURES]

  def _file(self, e: int, q: int, name: str) -> str:
    return f"{self._at[e]}_{q}_{name}.png"

  def _picture(self, e: int) -> np.ndarray | None:
    """An example as people see it: as it was loaded, or as the network does."""
    units = self._subject.explainer.probe.units
    is_raw = lambda value: value.dtype == np.uint8 and value.shape[1:3] == units.places
    raw = next((value[e] for value in self._loaded.values() if is_raw(value)), None)
    return self._drawn(self._subject.inputs[e] if raw is None else raw)

  def _drawn(self, x: np.ndarray) -> np.ndarray | None:
    if self._subject.segments:
      return None
    picture = explanation.picture_of(np.asarray(x), len(self._subject.explainer.probe.units.places))
    return explanation.upright(picture) if picture is not None and self._is_sound else picture

  def _of_training(self, train, i: int, value: float) -> tuple[str, np.ndarray | None]:
    if self._subject.segments:
      return f"{self._text(train, i)} ({value:+.2g})", None
    loaded, _ = Loader(train, self._trained.data.transforms, None).load(np.array([i]), np.array([0]))
    batch = {name: np.asarray(value) for name, value in loaded.items()}
    seen = self._trained.network.see(batch)[self._subject.explainer.probe.attachment.features[0]][0]
    raw = next((v[0] for v in batch.values() if v.dtype == np.uint8 and v.shape[1:3] == seen.shape[:2]), np.asarray(seen))
    label = f"{self._word(batch['labels'][0])}, " if "labels" in batch and batch["labels"].ndim == 1 else ""
    return f"{label}{value:+.2g}", self._drawn(raw)

  def _text(self, examples, i: int) -> str:
    """An example's texts, as people read them."""
    raw = examples.raw(np.array([i]))
    return " → ".join(str(values[0]) for values in raw.values() if isinstance(values[0], str))

  def _truth(self, e: int) -> str:
    """The label, where it is known and is another than the answer."""
    labels = self._loaded.get("labels")
    if labels is None or labels.ndim != 1:
      return ""
    label, answer = self._word(labels[e]), self._word(self._subject.targets[e, 0])
    return "" if label == answer else f" (is {label})"

  def _word(self, target: np.ndarray) -> str:
    """An answer: a class, a token, a text."""
    ids = [int(t) for t in np.ravel(target) if t >= 0]
    if getattr(self._trained.task, "vocabularies", None):
      name = "targets" if "targets" in self._examples.tokenizers else "inputs"
      return " ".join(self._token(name, t) for t in ids)
    return self._classes[ids[0]] if self._classes and ids[0] < len(self._classes) else str(ids[0])

  def _token(self, feature: str, t: int) -> str:
    tokenizer = self._examples.tokenizers.get(feature)
    return str(int(t)) if tokenizer is None or t >= tokenizer.vocab_size else tokenizer.token(int(t))
