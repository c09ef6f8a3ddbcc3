"""Prepares text data sets in TFDS's format out of published files, without TensorFlow and without a network.

    python -m research.data.builders.prepare --set=wmt14_de_en --manual_dir=FILES --data_dir=DATA

`TFDS(name="fieldwork_wmt14_de_en", split="train")` then reads it below DATA. What is too large for one process goes through
Apache Beam (`pip install apache-beam`): `--beam="--runner=DirectRunner --direct_num_workers=8"`, or a runner on many machines,
which must have this package and see both folders. The data set is the same, example for example.
"""

import argparse
import functools
import itertools
import pathlib
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from research.config import UserError, did_you_mean
from research.data.builders.sets import PREFIX, SETS, TextSet
from research.data.examples import DataError


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Writes a TextSet. Examples stay in the order of the files, so that references can be told by their number."""

  VERSION = tfds.core.Version("1.0.0")

  def __init__(self, text_set: TextSet, manual_dir: pathlib.Path, parts: int = 0, **settings):
    self._set, self._manual_dir, self._parts = text_set, manual_dir, parts
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
    if not self._parts:
      return {split: enumerate(read(self._manual_dir)) for split, read in self._set.splits.items()}
    beam = tfds.core.lazy_imports.apache_beam
    part = functools.partial(read_part, self.name.removeprefix(PREFIX), self._manual_dir, self._parts)
    return {split: f"{split}: parts" >> beam.Create(range(self._parts)) | f"{split}: examples" >> beam.FlatMap(
        functools.partial(part, split)) for split in self._set.splits}

  def _generate_examples(self, *args):
    raise TypeError("the splits' readers generate the examples")


def read_part(name: str, manual_dir: pathlib.Path, parts: int, split: str, part: int) -> Iterator[tuple[int, Any]]:
  """Every `parts`-th example of a split, from number `part` on, with its number. Every worker goes over the file."""
  return itertools.islice(enumerate(SETS[name].splits[split](manual_dir)), part, None, parts)


def prepare(name: str, manual_dir: pathlib.Path, data_dir: pathlib.Path, beam: str | None = None, parts: int = 64) -> None:
  """Writes a data set below `data_dir`, if it is not there yet.

  Args:
    name: of SETS.
    manual_dir: where the published files are.
    data_dir: the folder of all data sets.
    beam: flags of Apache Beam, which then does it; None does it here.
    parts: that Beam divides a split into.

  Raises:
    DataError: there is no such set, a file is missing or damaged, or Beam is not installed.
  """
  if name not in SETS:
    raise DataError(f"there is no text data set {name!r}; there are {', '.join(SETS)}{did_you_mean(name, SETS)}")
  made = type(name, (_Builder,), {"name": PREFIX + name, "__module__": __name__}, skip_registration=True)
  settings: dict[str, Any] = {}
  if beam is not None:
    try:
      options = tfds.core.lazy_imports.apache_beam.options.pipeline_options.PipelineOptions(shlex.split(beam))
    except ImportError:
      raise DataError("Apache Beam is not installed: pip install apache-beam") from None
    settings["download_config"] = tfds.download.DownloadConfig(beam_options=options)
  builder = made(SETS[name], manual_dir, parts if beam is not None else 0, data_dir=data_dir, file_format="array_record")
  try:
    builder.download_and_prepare(**settings)
  except DataError as error:
    raise DataError(f"{error}; {name} needs {SETS[name].needs}") from error


def main() -> None:
  parser = argparse.ArgumentParser(description="Prepares a text data set out of published files.")
  parser.add_argument("--set", required=True, help=f"which: {', '.join(SETS)}")
  parser.add_argument("--manual_dir", required=True, type=pathlib.Path, help="the folder with the published files")
  parser.add_argument("--data_dir", required=True, type=pathlib.Path, help="the folder that gets the data set")
  parser.add_argument("--beam", help="flags of Apache Beam, which then does it, as --beam='--runner=DirectRunner'")
  given = parser.parse_args()
  try:
    prepare(given.set, given.manual_dir, given.data_dir, given.beam)
  except UserError as error:
    sys.exit(f"{error}")


if __name__ == "__main__":
  main()
