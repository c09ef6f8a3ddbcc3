"""What a task says to become an application: what is read of a person's input, what the device computes, how it is worded.

Such a task has `application(given) -> Application`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from research.preprocessing.answers import Answer
from research.preprocessing.text.base import Tokenizer

Modality = Literal["image", "audio", "text"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
  """What is known of the data that a task was trained on.

  Attributes:
    modality: what people give.
    labels: the classes' names, where the data have them.
    tokenizers: by feature.
    shapes: of one example's features; the length of one that is padded is that of the longest bucket.
    lengths: of every bucket the features' lengths, the longest last; ({},) where there are none.
    rate: samples a second of audio, where people give audio.
  """

  modality: Modality
  labels: tuple[str, ...] | None
  tokenizers: Mapping[str, Tokenizer]
  shapes: Mapping[str, tuple[int, ...]]
  lengths: tuple[Mapping[str, int], ...]
  rate: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
  """What an answer can be asked for besides.

  Attributes:
    about: in a few words.
    default, low, high: its values.
    dtype: under its name it comes with the batch, (B,) of this type; None where only the host is told.
  """

  about: str
  default: float
  low: float
  high: float
  dtype: str | None = None


class Heard(NamedTuple):
  """What tells when each token of a text was heard; see research/interpretation/hearing.py.

  Attributes:
    forward: tokens (B, T) that the network reads -> scores of what follows each.
    tokens_BT: these: what comes before the text, the text, its end.
    num_B: how many count.
    before: how many come before the text.
    positions_B: how many positions of the encoder are of the recording.
    num_positions: of the encoder.
    heads: layer and head of each that is looked at; () for all of the upper half of the layers.
  """

  forward: Callable[[Any], Any]
  tokens_BT: Any
  num_B: Any
  before: int
  positions_B: Any
  num_positions: int
  heads: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
  """A trained network in use.

  Attributes:
    kind: as research/application/runtime.py lists them.
    features: what the device needs of an example; for each in `lengths` there is also `<name>_length`.
    lengths: for each compiled shape the length of features of unequal length; ({},) where there are none.
    unit: what lengths count: "tokens".
    keeps: which end of an input is read that is longer than the longest.
    answer: (model, batch) -> arrays (B, ...) by name, on the devices; `mask` (B,) says which rows are asked for.
    words: what makes answers of the arrays.
    labels: the classes' names, or None.
    explained: the float feature whose parts can be held responsible for a label, None where there is none.
    reading: the features with the tokens that `answer` reads and, for the task's `forward`, with those that it wrote; None
      where it does not write one text for another.
    heard: (model, an answer's arrays, of which it may take what is for it only) -> when its tokens were heard, which becomes
      the array `begins` (B, tokens of the text + 1); None where it is no text that was heard.
    options: by name.
    quality: (answers, features of their examples, the same before texts became numbers) -> (name of a metric, its value; more
      is better). None where nothing but the live model says what is right.
  """

  kind: str
  features: tuple[str, ...]
  lengths: tuple[Mapping[str, int], ...] = ({},)
  unit: str = "examples"
  keeps: Literal["start", "end"] = "start"
  answer: Callable[[Any, Any], dict]
  words: Answer
  labels: tuple[str, ...] | None = None
  explained: str | None = None
  reading: tuple[str, str] | None = None
  heard: Callable[[Any, dict[str, Any]], Heard] | None = None
  options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
  quality: Callable[[list[dict], Mapping[str, Any], Mapping[str, Any]], tuple[str, float]] | None = None


class Applicable(Protocol):
  """A task that can become an application."""

  def application(self, given: Given) -> Application: ...


def of_lengths(features: tuple[str, ...], lengths: tuple[Mapping[str, int], ...]) -> tuple[dict[str, int], ...]:
  """The different lengths of some features only."""
  found = [{name: length for name, length in row.items() if name in features} for row in lengths]
  return tuple(row for i, row in enumerate(found) if row not in found[:i])
