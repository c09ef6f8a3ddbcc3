"""How the outputs of a CTC network become a text: by the best path, or by prefix beam search. Host code.

Prefix beam search (Graves 2012, Hannun et al. 2014) takes an n-gram language model if there is one.

Where the best path adds up nothing, this adds up all alignments of a text that pass through its beam. T frames, V outputs.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from etils import epath

from research.config import ConfigError
from research.decoding.ngram import END, NGram, Words, read_arpa

Prefix = tuple[int, ...]

_NONE = -math.inf


@dataclasses.dataclass(frozen=True)
class Hypothesis:
  """A text.

  Attributes:
    labels: its outputs, without blanks.
    log_probability: ln of its probability by the network, over the alignments that were kept.
    score: what it is ranked by, with the language model and the bonus.
  """

  labels: Prefix
  log_probability: float
  score: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestPath:
  """The labels of the most probable alignment, see `research.nn.ctc.best_labels`: fast, and done on the devices."""

  @property
  def signature(self) -> str:
    return "ctc best path"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrefixBeamSearch:
  """The texts of highest score: ln p(text | audio) + weight · ln p(text) + bonus · its words (shallow fusion).

  Attributes:
    num_beams: prefixes kept after each frame.
    blank: the output that stands for none.
    min_log_probability: outputs of a lower ln p in a frame begin nothing there; it saves nearly all of the time.
    language_model: an n-gram model's file, .arpa or .arpa.gz; None searches by the network alone.
    weight: of the language model.
    bonus: for every word of it, as long texts are improbable.
    space: the output that ends a word of the language model; None where every output is a word.
  """

  num_beams: int = 16
  blank: int = 0
  min_log_probability: float = -12.0
  language_model: str | None = None
  weight: float = 0.5
  bonus: float = 0.0
  space: int | None = None

  def __post_init__(self):
    if self.num_beams < 1:
      raise ConfigError(f"num_beams={self.num_beams}: must be 1 or more")
    if self.language_model is not None and not epath.Path(self.language_model).exists():
      raise ConfigError(f"language_model={self.language_model}: there is no such file")

  @property
  def signature(self) -> str:
    model = self.language_model and f"|{epath.Path(self.language_model).name}, weight {self.weight:g}, bonus {self.bonus:g}"
    return f"ctc beam{self.num_beams}{model or ''}"

  def search(self, log_probs_TV: np.ndarray, names: Sequence[str] = ()) -> list[Hypothesis]:
    """The texts that are left at the end, best first.

    Args:
      log_probs_TV: of the frames that count.
      names: of the outputs, as the language model spells them; only needed with one.

    Raises:
      ArpaError: the language model's file is damaged.
    """
    fusion = None if self.language_model is None else _Fusion(self, names, _read(self.language_model))
    extra = lambda prefix: 0.0 if fusion is None else fusion.score(prefix)
    # Of every prefix ln of the probability of its alignments that end in a blank, and of those that end in its last label.
    beams: dict[Prefix, tuple[float, float]] = {(): (0.0, _NONE)}
    for frame in np.asarray(log_probs_TV, np.float64):
      candidates = [int(label) for label in np.flatnonzero(frame >= self.min_log_probability) if label != self.blank]
      emitted, found = frame.tolist(), {}

      def add(prefix: Prefix, place: int, value: float, found=found) -> None:
        known = found.setdefault(prefix, [_NONE, _NONE])
        known[place] = _add(known[place], value)

      for prefix, (blank, label) in beams.items():
        both = _add(blank, label)
        add(prefix, 0, both + emitted[self.blank])
        if prefix:
          add(prefix, 1, label + emitted[prefix[-1]])
        for new in candidates:
          # After its equal a label only begins anew behind a blank.
          add((*prefix, new), 1, (blank if prefix and new == prefix[-1] else both) + emitted[new])
      kept = sorted(found, key=lambda prefix: -(_add(*found[prefix]) + extra(prefix)))[:self.num_beams]
      beams = {prefix: (found[prefix][0], found[prefix][1]) for prefix in kept}
    finish = (lambda prefix: 0.0) if fusion is None else fusion.finish
    hypotheses = [Hypothesis(prefix, _add(*value), _add(*value) + finish(prefix)) for prefix, value in beams.items()]
    return sorted((h for h in hypotheses if h.log_probability > _NONE), key=lambda h: -h.score)


_read = functools.lru_cache(maxsize=1)(read_arpa)


class _Fusion:
  """Scores of prefixes by the language model, each worked out once, from that of the prefix without its last label."""

  def __init__(self, settings: PrefixBeamSearch, names: Sequence[str], model: NGram):
    self._settings, self._names, self._model = settings, names, model
    self._known: dict[Prefix, tuple[float, Words, str]] = {(): (0.0, model.start, "")}

  def score(self, prefix: Prefix) -> float:
    """The score of the words that are complete."""
    return self._of(prefix)[0]

  def finish(self, prefix: Prefix) -> float:
    """The score of all words, and of the end of the sentence."""
    total, context, part = self._of(prefix)
    if part:
      value, context = self._word(context, part)
      total += value
    return total + self._settings.weight * self._model.score(context, END)[0]

  def _of(self, prefix: Prefix) -> tuple[float, Words, str]:
    if prefix not in self._known:
      total, context, part = self._of(prefix[:-1])
      space, name = self._settings.space, self._names[prefix[-1]]
      part = part if prefix[-1] == space else part + name
      if part and space in (None, prefix[-1]):
        value, context = self._word(context, part)
        total, part = total + value, ""
      self._known[prefix] = total, context, part
    return self._known[prefix]

  def _word(self, context: Words, word: str) -> tuple[float, Words]:
    value, context = self._model.score(context, word)
    return self._settings.weight * value + self._settings.bonus, context


def _add(a: float, b: float) -> float:
  """ln(e^a + e^b)."""
  if a < b:
    a, b = b, a
  return a if b == _NONE else a + math.log1p(math.exp(b - a))
