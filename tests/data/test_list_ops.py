"""Expressions have the published form and lengths, and the value that a second evaluation of the text gives."""

import numpy as np
import pytest

from research.config import ConfigError
from research.data.examples import DataError
from research.data.list_ops import OPERATORS, ListOps, draw, laid_out, values

SIZES = {"sizes": (60, 10, 10), "lengths": (20, 200), "max_depth": 5, "max_args": 6}


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def evaluated(words, counts, depth=1):
  """The value of the expression that begins at the first word, and the words behind it; notes arguments and depths."""
  counts["depth"] = max(counts.get("depth", 0), depth)
  first, *rest = words
  if first not in OPERATORS:
    return int(first), rest
  arguments = []
  while rest[0] != "]":
    value, rest = evaluated(rest, counts, depth + 1)
    arguments.append(value)
  counts.setdefault("arguments", []).append(len(arguments))
  found = {"[MAX": max, "[MIN": min, "[MED": lambda x: int(np.median(x)), "[SM": lambda x: sum(x) % 10}[first](arguments)
  return found, rest[1:]


def test_an_expression_means_its_label():
  examples = ListOps(split="train", **SIZES).open(None)
  read = examples.read(np.arange(60))
  assert len(examples) == 60 and len(set(read["text"])) == 60 and set(read["label"].tolist()) == set(range(10))
  for text, label in zip(read["text"], read["label"]):
    counts = {}
    value, behind = evaluated(text.split(), counts)
    assert value == label and not behind and 20 < len(text.split()) < 200
    assert min(counts["arguments"]) >= 2 and max(counts["arguments"]) <= 6 and counts["depth"] <= 5
  again = examples.read(np.array([7]))
  assert again["text"] == [read["text"][7]] and again["label"] == read["label"][7]


def test_values_of_known_lists():
  lists = [(2, [1, 4]), (2, [3, 1, 2]), (3, [9, 9, 5]), (0, [2, 9, 0]), (1, [4, 7])]
  found = values(np.array([op for op, _ in lists]), np.array([len(x) for _, x in lists]), np.concatenate([x for _, x in lists]))
  assert found.tolist() == [2, 2, 3, 9, 4]  # medians are rounded down


def test_the_published_settings_are_the_defaults():
  source = ListOps(split="train")
  assert (source.sizes, source.max_depth, source.max_args, source.lengths) == ((96_000, 2_000, 2_000), 10, 10, (500, 2_000))
  codes, offsets, labels = laid_out(draw(np.random.RandomState(0), max_depth=10, max_args=10, lengths=(500, 2_000)))
  sizes = np.diff(offsets)
  assert sizes.min() > 500 and sizes.max() < 2_000
  # Of the published generator: a third of the trees that are no digits, 1,040 words on average, 17 % each of 0 and of 9.
  assert len(labels) / 4096 == pytest.approx(0.33, abs=0.03) and sizes.mean() == pytest.approx(1_045, abs=40)
  assert np.bincount(labels)[[0, 9]] / len(labels) == pytest.approx(0.165, abs=0.035)
  lists, ends = np.isin(codes, range(10, 14)), codes == 14
  assert lists.sum() == ends.sum() and np.bincount(codes[lists])[10:] / lists.sum() == pytest.approx(0.25, abs=0.01)
  depth = np.cumsum(lists.astype(int) - ends)
  assert depth.max() == 9 and not depth[offsets[1:] - 1].any()
  inner, digits = lists.sum() - len(labels), ((codes < 10) & (depth < 9)).sum()
  assert inner / (inner + digits) == pytest.approx(0.25, abs=0.02)  # above the last depth, where there are digits only


def test_splits_are_parts_of_one_generation():
  first = lambda split, **other: ListOps(split=split, **SIZES, **other).open(None).read(np.arange(10))["text"]
  assert len({*first("train"), *first("validation"), *first("test")}) == 30
  assert not {*first("train")} & {*first("train", seed=1)}


def test_what_cannot_be_drawn_is_refused():
  with pytest.raises(ConfigError, match="max_depth=1"):
    ListOps(split="test", max_depth=1)
  with pytest.raises(ConfigError, match=r"lengths=\(9, 10\)"):
    ListOps(split="test", lengths=(9, 10))
  with pytest.raises(DataError, match=r"more than the 0 expressions .*lengths=\(50, 60\)"):
    ListOps(split="test", max_depth=2, lengths=(50, 60)).open(None)
