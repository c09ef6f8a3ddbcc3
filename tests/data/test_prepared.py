"""Prepared examples are what the transforms give, whole, in order, and once."""

import dataclasses

import numpy as np
import pytest

from research.data.examples import Columns, DataError
from research.data.prepared import Prepared
from research.data.sources import Source
from research.preprocessing.arrays import Scale
from research.preprocessing.geometry import Flip
from research.preprocessing.transform import Transform

CALLS = []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers(Source):
  num: int = 600

  def open_all(self, data_dir):
    return Columns({"inputs": np.arange(self.num, dtype=np.float64)[:, None], "labels": np.arange(self.num) % 3},
                   [f"n{i}" for i in range(self.num)])

  def class_names(self, data_dir):
    return ("a", "b", "c")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(Transform):
  bad: int = -1

  def __call__(self, features, random):
    CALLS.append(len(features["labels"]))
    if self.bad in features["inputs"]:
      raise ValueError("broken")
    return features


def test_it_is_prepared_once_and_cut_afterwards():
  CALLS.clear()
  prepared = Prepared(source=Numbers(skip=10), transforms=(Count(), Scale(factor=2.0)), skip=5, limit=300)
  examples, again = prepared.open(None), prepared.open(None)
  calls = len(CALLS)
  found = examples.read(np.array([0, 299, 1]))
  np.testing.assert_array_equal(found["inputs"][:, 0], [30, 628, 32])
  np.testing.assert_array_equal(found["labels"], [0, 2, 1])
  assert len(examples) == len(again) == 300 and examples.key(0) == "n15" and len(CALLS) == calls
  assert prepared.class_names(None) == ("a", "b", "c")


def test_what_augments_does_nothing_and_a_broken_example_is_named():
  image = np.zeros((4, 2, 2, 1), np.uint8)
  image[:, :, 1] = 1

  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Images(Source):
    def open_all(self, data_dir):
      return Columns({"inputs": image})

  np.testing.assert_array_equal(Prepared(source=Images(), transforms=(Flip(),)).open(None).read(np.arange(4))["inputs"], image)
  with pytest.raises(DataError, match="n7 cannot be read: ValueError: broken"):
    Prepared(source=Numbers(num=20), transforms=(Count(bad=7),)).open(None)
