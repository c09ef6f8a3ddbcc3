"""Prepares text data sets in TFDS's format out of published files, without TensorFlow and without a network.

    python -m research.data.builders.prepare --set=wmt14_de_en --manual_dir=FILES --data_dir=DATA

`TFDS(name="fieldwork_wmt14_de_en", split="train")` then reads it below DATA.
"""

import argparse
import pathlib
import sys

import tensorflow_datasets as tfds

from research.config import UserError, did_you_mean
from research.data.builders.sets import PREFIX, SETS, TextSet
from research.data.examples import DataError


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Writes a TextSet. Examples stay in the order of the files, so that references can be told by their number."""

  VERSION = tfds.core.Version("1.0.0")

  def __init__(self, text_set: TextSet, manual_dir: pathlib.Path, **settings):
    self._set, self._manual_dir = text_set, manual_dir
    super().__init__(**settings)

  def _info(self) -> tfds.core.DatasetInfo:
    features: dict[str, tfds.features.FeatureConnector] = {name: tfds.features.Text() for name in self._set.texts}
    if self._set.labels:
      features["label"] = tfds.features.ClassLabel(names=self._set.labels)
    elif self._set.score:
      features["label"] = tfds.features.Scalar("float32")
    return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True,
                                 description=f"Made of {self._set.needs}.")

  def _split_generators(self, dl_manager):
    del dl_manager
    return {split: enumerate(read(self._manual_dir)) for split, read in self._set.splits.items()}

  def _generate_examples(self, *args):
    raise TypeError("the splits' readers generate the examples")


def prepare(name: str, manual_dir: pathlib.Path, data_dir: pathlib.Path) -> None:
  """Writes a data set below `data_dir`, if it is not there yet.

  Args:
    name: of SETS.
    manual_dir: where the published files are.
    data_dir: the folder of all data sets.

  Raises:
    DataError: there is no such set, or a file is missing or damaged.
  """
  if name not in SETS:
    raise DataError(f"there is no text data set {name!r}; there are {', '.join(SETS)}{did_you_mean(name, SETS)}")
  made = type(name, (_Builder,), {"name": PREFIX + name, "__module__": __name__}, skip_registration=True)
  builder = made(SETS[name], manual_dir, data_dir=data_dir, file_format="array_record")
  try:
    builder.download_and_prepare()
  except DataError as error:
    raise DataError(f"{error}; {name} needs {SETS[name].needs}") from error


def main() -> None:
  parser = argparse.ArgumentParser(description="Prepares a text data set out of published files.")
  parser.add_argument("--set", required=True, help=f"which: {', '.join(SETS)}")
  parser.add_argument("--manual_dir", required=True, type=pathlib.Path, help="the folder with the published files")
  parser.add_argument("--data_dir", required=True, type=pathlib.Path, help="the folder that gets the data set")
  given = parser.parse_args()
  try:
    prepare(given.set, given.manual_dir, given.data_dir)
  except UserError as error:
    sys.exit(f"{error}")


if __name__ == "__main__":
  main()
