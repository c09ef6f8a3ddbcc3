"""ListOps: lists of digits within lists, whose value is a digit (Nangia, Bowman 2018), as long as in the Long Range Arena.

Trees are drawn, laid out and worked out many at once, level by level. T: trees; of a level, O: operators, C: their arguments.
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Literal

import numpy as np
from etils import epath

from research.config import ConfigError
from research.data import cache
from research.data.examples import DataError, Examples
from research.data.sources import Source
from research.preprocessing.transform import Features

OPERATORS = ("[MAX", "[MIN", "[MED", "[SM")
WORDS = np.array([*map(str, range(10)), *OPERATORS, "]"])  # a word's place here is its code
_END = len(WORDS) - 1
_BRANCHING = 0.25  # share of arguments that are lists themselves
_FORMAT, _ROOTS = 1, 4096


@dataclasses.dataclass(frozen=True)
class _Level:
  """The operators of one depth, in the order of their trees, and below them all their arguments in theirs."""

  tree_O: np.ndarray
  operator_O: np.ndarray
  count_O: np.ndarray
  digit_C: np.ndarray
  is_list_C: np.ndarray

  @property
  def tree_C(self) -> np.ndarray:
    return np.repeat(self.tree_O, self.count_O)

  def only(self, kept_T: np.ndarray, number_T: np.ndarray) -> "_Level":
    """The part of some trees, which get new numbers."""
    kept_O, kept_C = kept_T[self.tree_O], kept_T[self.tree_C]
    return _Level(number_T[self.tree_O[kept_O]], self.operator_O[kept_O], self.count_O[kept_O], self.digit_C[kept_C],
                  self.is_list_C[kept_C])


def draw(random: np.random.RandomState, *, max_depth: int, max_args: int, lengths: tuple[int, int]) -> list[_Level]:
  """Trees of more than lengths[0] and fewer than lengths[1] words.

  A list has 2 to max_args arguments. Each is a list itself with probability 1/4, a digit otherwise, and at depth max_depth; the
  root has depth 1. (That the root, too, may be a digit costs the published generator time only: such trees are too short.)

  Args:
    random: where the numbers come from.
    max_depth: of an argument.
    max_args: of a list.
    lengths: see above.
  """
  tree_O, levels, length_T = np.arange(_ROOTS), [], np.full(_ROOTS, 2)
  for depth in range(2, max_depth + 1):
    count_O = random.randint(2, max_args + 1, len(tree_O))
    num = count_O.sum()
    digit_C, is_list_C = random.randint(10, size=num), random.random_sample(num) <= _BRANCHING * (depth < max_depth)
    levels.append(_Level(tree_O, random.randint(len(OPERATORS), size=len(tree_O)), count_O, digit_C, is_list_C))
    length_T += np.bincount(levels[-1].tree_C, 1 + is_list_C, _ROOTS).astype(int)
    tree_O = levels[-1].tree_C[is_list_C]
    growing_O = length_T[tree_O] < lengths[1]
    if not growing_O.all():  # trees that are too long already are not followed
      levels = [level.only(length_T < lengths[1], np.arange(_ROOTS)) for level in levels]
      tree_O = tree_O[growing_O]
  kept_T = (length_T > lengths[0]) & (length_T < lengths[1])
  return [level.only(kept_T, np.cumsum(kept_T) - 1) for level in levels]


def laid_out(levels: list[_Level]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The words of all trees one after another, as codes; where each begins, and the last ends (T + 1,); the values (T,)."""
  value_O, length_O, lengths_C = np.zeros(0, np.int64), np.zeros(0, np.int64), []
  for level in reversed(levels):
    value_C, length_C = level.digit_C.copy(), np.ones(len(level.digit_C), np.int64)
    value_C[level.is_list_C], length_C[level.is_list_C] = value_O, length_O
    lengths_C.insert(0, length_C)
    value_O = values(level.operator_O, level.count_O, value_C)
    length_O = 2 + _sums(length_C, level.count_O)
  offsets = np.concatenate([[0], np.cumsum(length_O)])
  codes, at_O = np.empty(offsets[-1], np.uint8), offsets[:-1]
  for level, length_C in zip(levels, lengths_C):
    codes[at_O] = 10 + level.operator_O
    codes[at_O + 1 + _sums(length_C, level.count_O)] = _END
    before_C = np.cumsum(length_C) - length_C
    first_O = np.cumsum(level.count_O) - level.count_O
    at_C = before_C + np.repeat(at_O + 1 - before_C[first_O], level.count_O)
    codes[at_C[~level.is_list_C]] = level.digit_C[~level.is_list_C]
    at_O = at_C[level.is_list_C]
  return codes, offsets, value_O


def values(operator_O: np.ndarray, count_O: np.ndarray, value_C: np.ndarray) -> np.ndarray:
  """The values (O,) of lists: the largest, the smallest, the median rounded down, or the last digit of the sum."""
  if not len(count_O):
    return np.zeros(0, np.int64)
  real = np.arange(count_O.max()) < count_O[:, None]
  sorted_OA = np.full(real.shape, 10)
  sorted_OA[real] = value_C
  sorted_OA.sort(axis=1)
  at = lambda place_O: np.take_along_axis(sorted_OA, place_O[:, None], axis=1)[:, 0]
  median_O = (at((count_O - 1) // 2) + at(count_O // 2)) // 2
  return np.choose(operator_O, [at(count_O - 1), sorted_OA[:, 0], median_O, _sums(value_C, count_O) % 10])


def _sums(x_C, count_O):
  """(O,): the sum over the arguments of each."""
  return np.add.reduceat(x_C, np.cumsum(count_O) - count_O) if len(count_O) else np.zeros(0, np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListOps(Source):
  """Generated: `text`, words that blanks part, as "[MAX 2 9 [MIN 4 7 ] 0 ]", and `label` 0..9 int64.

  The defaults are the published settings (Tay et al. 2021, lra_benchmarks/data/listops.py); its files hold other draws. All
  splits come out of one generation of half a minute, which the cache keeps.

  Attributes:
    split: which part.
    sizes: expressions of train, validation and test.
    max_depth: of lists within lists; the deepest hold digits only.
    max_args: arguments of a list at most; 2 at least.
    lengths: an expression has more words than the first and fewer than the second.
    seed: of the generator.
  """

  split: Literal["train", "validation", "test"]
  sizes: tuple[int, int, int] = (96_000, 2_000, 2_000)
  max_depth: int = 10
  max_args: int = 10
  lengths: tuple[int, int] = (500, 2_000)
  seed: int = 0

  def __post_init__(self):
    super().__post_init__()
    if min(self.sizes) < 1:
      raise ConfigError(f"sizes={self.sizes}: must be 1 or more each")
    if self.max_depth < 2 or self.max_args < 2:
      raise ConfigError(f"max_depth={self.max_depth}, max_args={self.max_args}: both must be 2 or more")
    if not 1 <= self.lengths[0] < self.lengths[1] - 1:
      raise ConfigError(f"lengths={self.lengths}: the first must be 1 or more, and leave room below the second")

  def open_all(self, data_dir: str | None) -> Examples:
    what = [_FORMAT, *(getattr(self, name) for name in ("sizes", "max_depth", "max_args", "lengths", "seed"))]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    folder = cache.made_once("list_ops", key, self._write)
    codes, offsets, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("codes", "offsets", "labels"))
    place = ("train", "validation", "test").index(self.split)
    start = sum(self.sizes[:place])
    part = slice(start, start + self.sizes[place])
    return _Expressions(codes, np.array(offsets[part.start:part.stop + 1]), np.array(labels[part]))

  def _write(self, folder: pathlib.Path) -> None:
    """Draws until there are enough that differ."""
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(self.seed)))  # frozen over versions of NumPy
    found: dict[bytes, int] = {}
    while len(found) < sum(self.sizes):
      before = len(found)
      levels = draw(random, max_depth=self.max_depth, max_args=self.max_args, lengths=self.lengths)
      codes, offsets, labels = laid_out(levels)
      for start, stop, label in zip(offsets[:-1].tolist(), offsets[1:].tolist(), labels.tolist()):
        found.setdefault(codes[start:stop].tobytes(), label)
      if len(found) == before:
        raise DataError(f"ListOps: sizes={self.sizes} are more than the {before} expressions that were found with "
                        f"max_depth={self.max_depth}, max_args={self.max_args}, lengths={self.lengths}")
    rows, labels = zip(*list(found.items())[:sum(self.sizes)])
    np.save(folder / "codes.npy", np.frombuffer(b"".join(rows), np.uint8))
    np.save(folder / "offsets.npy", np.cumsum([0, *map(len, rows)], dtype=np.int64))
    np.save(folder / "labels.npy", np.array(labels, np.int64))

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return tuple(map(str, range(10)))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return ()


class _Expressions(Examples):
  """Expressions in the cache's files."""

  def __init__(self, codes: np.ndarray, offsets: np.ndarray, labels: np.ndarray):
    self._codes, self._offsets, self._labels = codes, offsets, labels

  def __len__(self) -> int:
    return len(self._labels)

  def read(self, indices: np.ndarray) -> Features:
    texts = [" ".join(WORDS[self._codes[self._offsets[i]:self._offsets[i + 1]]].tolist()) for i in indices]
    return {"text": texts, "label": self._labels[indices]}
