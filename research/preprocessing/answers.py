"""From a network's arrays to what an application answers: JSON values. It needs no jax, so that a bundle can carry it.

B examples, C classes.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

_Self = TypeVar("_Self", bound="Answer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """Base of all.

  Attributes:
    joins: whether `joined` is there: a long recording is heard in pieces that overlap.
    follows: whether `again`, `following` and `together` are: it is heard in windows, each of which says where the next begins.
  """

  joins, follows = False, False

  def __call__(self, arrays: Mapping[str, np.ndarray], given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers to B inputs.

    Args:
      arrays: what the device says, leading dim B.
      given: of each input its "features", arrays by name, and "options".
    """
    raise TypeError(f"{type(self).__name__} defines no __call__")

  def joined(self, arrays: Mapping[str, np.ndarray], step: float) -> dict[str, np.ndarray]:
    """What the device would say of a whole recording (1, ...).

    Args:
      arrays: what it said of overlapping pieces, in order (P, ...).
      step: seconds from the beginning of one piece to that of the next.
    """
    raise TypeError(f"{type(self).__name__} joins nothing")

  def again(self, arrays: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> dict[str, Any] | None:
    """With which options to ask once more for what (1, ...) was said of an input; None where it is taken."""
    raise TypeError(f"{type(self).__name__} takes what it gets")

  def following(self, arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], float]:
    """The answer to what is finished in a window (1, ...) of a long recording, and after how many seconds the next begins."""
    raise TypeError(f"{type(self).__name__} follows nothing")

  def together(self, parts: Sequence[tuple[float, dict[str, Any]]]) -> dict[str, Any]:
    """The answer to a recording, of those to its windows, each with the second at which it begins."""
    raise TypeError(f"{type(self).__name__} follows nothing")

  def parts(self, features: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the numbers of an explanation belong to, where that is not the input as it is given: {"tokens": [...]}."""
    return {}

  def at(self: _Self, folder: pathlib.Path) -> _Self:
    """The same, with its files in this folder."""
    return dataclasses.replace(self, **{name: str(folder / getattr(self, name)) for name in self.files})

  @property
  def files(self) -> tuple[str, ...]:
    """The fields that name files."""
    raise TypeError(f"{type(self).__name__} defines no files")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(Answer):
  """The most probable classes of `probabilities` (B, C): as many as the option `top` says.

  Attributes:
    names: the file with the classes' names, a list.
  """

  names: str = "labels.json"

  @property
  def files(self) -> tuple[str, ...]:
    return ("names",)

  def __call__(self, arrays, given):
    names, answers = _names(self.names), []
    for probabilities_C, item in zip(arrays["probabilities"], given):
      best = np.argsort(-probabilities_C, kind="stable")[:item["options"]["top"]]
      answers.append({"labels": [{"label": names[i], "probability": float(probabilities_C[i])} for i in best]})
    return answers


@functools.lru_cache(maxsize=16)
def _names(path: str) -> list[str]:
  return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
