"""What Apache Beam prepares is what one process prepares. Runs where `pip install apache-beam` has been done."""

import numpy as np
import pytest

from research.data.builders.sets import SETS
from research.data.tfds import TFDS


def folder_of(path, lines: int):
  """Multi30k's files, with numbered lines."""
  for split in ("train", "val", "test_2016_flickr", "test_2017_flickr"):
    for side in ("en", "de"):
      (path / f"{split}.{side}").write_text("".join(f"{side} {split} {i}\n" for i in range(lines)))
  return path


def test_parts_are_the_whole_in_some_order(tmp_path):
  pytest.importorskip("tensorflow_datasets")
  from research.data.builders.prepare import read_part

  folder_of(tmp_path, 7)
  found = [pair for part in range(3) for pair in read_part("multi30k", tmp_path, 3, "train", part)]
  assert sorted(found, key=lambda pair: pair[0]) == list(enumerate(SETS["multi30k"].splits["train"](tmp_path)))
  assert [number for number, _ in read_part("multi30k", tmp_path, 3, "train", 1)] == [1, 4]


@pytest.mark.heavy
def test_beam_prepares_the_same_examples_in_the_same_order(tmp_path):
  pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
  from research.data.builders.prepare import prepare

  (tmp_path / "files").mkdir()
  folder_of(tmp_path / "files", 100)
  read = {}
  threads = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
  for name, beam in (("one", None), ("beam", threads)):
    prepare("multi30k", tmp_path / "files", tmp_path / name, beam, parts=5)
    examples = TFDS(name="fieldwork_multi30k", split="train").open(str(tmp_path / name))
    read[name] = examples.read(np.arange(100))
  assert read["one"] == read["beam"] and len(read["one"]["de"]) == 100
