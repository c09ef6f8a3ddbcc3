"""Folders of classes are read as they are; what is not an image or not there is said in one line."""

import io
import pickle

import numpy as np
import pytest
from absl import logging
from PIL import Image

from research.config import from_json, to_json
from research.data.examples import DataError
from research.data.image_folder import ImageFolder


def picture(level):
  file = io.BytesIO()
  Image.new("L", (3, 2), level).save(file, "PNG")
  return file.getvalue()


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / "pets"
  for name, files in {"dog": {"b.PNG": 1, "a.png": 2}, "Cat": {"ü x.png": 3}, "ant": {}}.items():
    (root / name).mkdir(parents=True)
    for file, level in files.items():
      (root / name / file).write_bytes(picture(level))
  return tmp_path


def test_classes_are_sorted_folders_and_keys_are_paths(folder):
  source = ImageFolder(path="pets")
  examples = source.open_all(folder)
  assert examples.classes == source.class_names(folder) == ("Cat", "ant", "dog")
  assert [examples.key(n) for n in range(len(examples))] == ["pets/Cat/ü x.png", "pets/dog/a.png", "pets/dog/b.PNG"]
  read = examples.read(np.array([2, 0]))
  assert read["record"] == [picture(1), picture(3)]
  np.testing.assert_array_equal(read["labels"], [2, 0])
  assert read["labels"].dtype == np.int32


def test_files_are_read_when_they_are_needed(folder):
  examples = ImageFolder(path="pets").open(folder)
  (folder / "pets" / "dog" / "a.png").write_bytes(b"changed")
  assert examples.read(np.array([1]))["record"] == [b"changed"]
  (folder / "pets" / "dog" / "a.png").unlink()
  with pytest.raises(OSError):
    examples.read(np.array([1]))


def test_other_files_are_left_out_and_counted(folder, caplog):
  logging.set_verbosity(logging.WARNING)
  before = len(ImageFolder(path="pets").open(folder))
  assert not caplog.records
  (folder / "pets" / "dog" / ".hidden.png").write_bytes(picture(0))
  (folder / "pets" / "dog" / "notes.txt").write_text("x")
  (folder / "pets" / "dog" / "deeper").mkdir()
  (folder / "pets" / ".cache").mkdir()
  (folder / "pets" / "README.md").write_text("x")
  source = ImageFolder(path="pets")
  assert len(source.open(folder)) == before and source.class_names(folder) == ("Cat", "ant", "dog")
  (line,) = [record.getMessage() for record in caplog.records]
  assert "3 hidden files or files of other kinds are left out, first dog/.hidden.png" in line


def test_a_part_of_the_examples(folder):
  assert [ImageFolder(path="pets", skip=1, limit=1).open(folder).key(0)] == ["pets/dog/a.png"]


def test_what_is_no_folder_of_classes_is_one_clear_line(folder):
  (folder / "file").write_text("x")
  (folder / "empty").mkdir()
  (folder / "flat").mkdir()
  (folder / "flat" / "a.png").write_bytes(picture(1))
  (folder / "bare" / "class").mkdir(parents=True)
  for path, words in {"none": "does not exist", "file": "is no folder", "empty": "holds no folders",
                      "flat": "holds no folders", "bare": r"holds no images: its 1 folders have no file that ends in"}.items():
    with pytest.raises(DataError, match=words) as error:
      ImageFolder(path=path).open(folder)
    assert "\n" not in str(error.value)
  with pytest.raises(DataError, match="pets is needed: give --data_dir"):
    ImageFolder(path="pets").open(None)


def test_it_is_configuration_and_travels_to_other_processes(folder):
  source = ImageFolder(path="pets", limit=2)
  assert from_json(to_json(source)) == source
  examples = pickle.loads(pickle.dumps(source.open(folder)))
  assert examples.read(np.array([1]))["record"] == [picture(2)]
