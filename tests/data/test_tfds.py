"""TFDS's format without TensorFlow, and one clear line where a data set is not there."""

import io
import sys
import time

import numpy as np
import pytest
from PIL import Image

from research.data.examples import DataError
from research.data.pipeline import Pipeline
from research.data.plan import FixedBatches
from research.data.tfds import TFDS
from research.preprocessing.arrays import Select

tfds = pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """A small data set of images and texts, prepared as array_record."""
  folder = tmp_path_factory.mktemp("tfds")

  class FieldworkTiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      features = {"image": tfds.features.Image(shape=(4, 4, 3)), "label": tfds.features.ClassLabel(num_classes=3),
                  "text": tfds.features.Text()}
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
      return {"train": self._generate_examples(20), "test": self._generate_examples(5)}

    def _generate_examples(self, count):
      for n in range(count):
        file = io.BytesIO()
        Image.fromarray(np.full((4, 4, 3), n, np.uint8)).save(file, "PNG")
        file.seek(0)
        yield n, {"image": file, "label": n % 3, "text": f"ü{n}"}

  FieldworkTiny(data_dir=folder, file_format="array_record").download_and_prepare()
  return folder


def test_a_prepared_set_is_read_at_random(prepared):
  examples = TFDS(name="fieldwork_tiny", split="train").open(prepared)
  assert len(examples) == 20
  read = examples.read(np.array([3, 11, 3]))
  for image, label, text in zip(read["image"], read["label"], read["text"], strict=True):
    assert image.shape == (4, 4, 3) and image.dtype == np.uint8
    assert label == image[0, 0, 0] % 3 and text == f"ü{image[0, 0, 0]}"
  np.testing.assert_array_equal(read["image"][0], read["image"][2])
  assert "tensorflow" not in sys.modules


def test_it_goes_through_the_pipeline_and_its_processes(prepared):
  examples = TFDS(name="fieldwork_tiny", split="train").open(prepared)
  plan = FixedBatches(20, 4, seed=0)
  batches = []
  for num_workers in (0, 1):
    pipeline = Pipeline(examples, (Select(names=("image", "label")),), plan, seed=0, num_workers=num_workers)
    batches.append([next(pipeline) for _ in range(5)])
    pipeline.close()
  for a, b in zip(*batches, strict=True):
    np.testing.assert_array_equal(a["image"], b["image"])
    np.testing.assert_array_equal(a["label"], a["image"][:, 0, 0, 0] % 3)
  assert sorted(x for batch in batches[0] for x in batch["image"][:, 0, 0, 0]) == sorted(
      x for n in range(20) for x in [examples.read(np.array([n]))["image"][0][0, 0, 0]])


def test_parts_of_splits(prepared):
  assert len(TFDS(name="fieldwork_tiny", split="train[:50%]").open(prepared)) == 10
  assert len(TFDS(name="fieldwork_tiny", split="test", skip=1, limit=2).open(prepared)) == 2


def test_classes_have_their_names(prepared, tmp_path):
  assert TFDS(name="fieldwork_tiny", split="train").class_names(prepared) == ("0", "1", "2")
  assert TFDS(name="imdb_reviews", split="train").class_names(str(tmp_path)) == ("neg", "pos")
  with pytest.raises(DataError, match=r"copy it there|is not prepared"):
    TFDS(name="no_such_set", split="train").class_names(str(tmp_path))


def test_an_unknown_split_names_the_known_ones(prepared):
  with pytest.raises(DataError, match=r"split 'validation', cannot be read .*its splits are (test, train|train, test)"):
    TFDS(name="fieldwork_tiny", split="validation").open(prepared)


@pytest.mark.parametrize("name", ["mnist", "imagenet2012", "imdb_reviews"])
def test_an_unprepared_set_says_quickly_how_to_prepare_it(tmp_path, name):
  begin = time.monotonic()
  with pytest.raises(DataError) as error:
    TFDS(name=name, split="train").open(str(tmp_path))
  assert time.monotonic() - begin < 2
  message = str(error.value)
  assert "\n" not in message and name in message and "is not prepared" in message
  assert "download_and_prepare" in message and "downloads/manual" in message and str(tmp_path) in message
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["glue/sst2", "no_such_set", "BAD NAME", "huggingface:x"])
def test_a_set_that_cannot_be_built_is_one_clear_line(tmp_path, name):
  begin = time.monotonic()
  with pytest.raises(DataError, match=r"copy it there|is not prepared|other catalogues") as error:
    TFDS(name=name, split="train").open(tmp_path)
  assert time.monotonic() - begin < 2 and "\n" not in str(error.value)


def test_mocked_catalogue_sets_have_their_features(tmp_path):
  class Rows(list):
    def __getitems__(self, keys):
      return [self[key] for key in keys]

  def rows(self, split, **_):
    fake = tfds.testing.mocking.RandomFakeGenerator(self.info.features, num_examples=12)
    return Rows(fake[n] for n in range(12))

  with tfds.testing.mock_data(num_examples=12, as_data_source_fn=rows):
    examples = TFDS(name="mnist", split="train").open(str(tmp_path))
  read = examples.read(np.arange(12))
  assert len(examples) == 12 and read["image"][0].shape == (28, 28, 1) and all(0 <= x < 10 for x in read["label"])
