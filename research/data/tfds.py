"""Data sets in TensorFlow Datasets' format, read at random without TensorFlow."""

import dataclasses
import re

import numpy as np
from etils import epath

from research.data.builders.sets import PREFIX, SETS
from research.data.examples import DataError, Examples
from research.data.sources import Source
from research.preprocessing.transform import Features


@dataclasses.dataclass(frozen=True, kw_only=True)
class TFDS(Source):
  """A data set that TFDS has prepared below the data folder, as array_record. Nothing is downloaded here.

  Attributes:
    name: as TFDS knows it: mnist, imdb_reviews/plain_text, my_set:1.0.0.
    split: TFDS's own notation: train, test, train[:10%].
  """

  name: str
  split: str

  def open_all(self, data_dir: str | None) -> Examples:
    builder, where = self._builder(data_dir), _folder(data_dir)
    prepare = (f"prepare it once with network: python -c \"import tensorflow_datasets as t; t.builder('{self.name}', "
               f"data_dir='{where}', file_format='array_record').download_and_prepare()\" (files fetched by hand go to "
               f"{where}/downloads/manual), or give --data_dir the folder that holds it")
    try:
      source = builder.as_data_source(split=self.split)
      num = len(source)
    except Exception as error:  # files, formats and split notation have each their own way of failing
      if not builder.is_prepared():
        raise DataError(f"TFDS data set {self.name!r} is not prepared in {where}; {prepare}") from error
      if isinstance(error, NotImplementedError):
        raise DataError(f"TFDS data set {self.name!r} in {where} is stored as TFRecord, which cannot be read at "
                        f"random: remove it, then {prepare}") from error
      splits = ", ".join(builder.info.splits)
      raise DataError(f"TFDS data set {self.name!r} in {where}, split {self.split!r}, cannot be read "
                      f"({' '.join(str(error).split())[:200]}); its splits are {splits}") from error
    if not num:
      raise DataError(f"TFDS data set {self.name!r}: split {self.split!r} is empty")
    return _TFDSExamples(source, f"{self.name}/{self.split}", num)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    # Names and sizes of all shards stand in it, so that terabytes need not be read to know which data they are.
    return (epath.Path(self._builder(data_dir).data_path) / "dataset_info.json",)

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    import tensorflow_datasets as tfds  # here: its import takes two seconds

    features = self._builder(data_dir).info.features
    labels = [feature for feature in features.values() if isinstance(feature, tfds.features.ClassLabel)]
    return tuple(labels[0].names) if len(labels) == 1 else None

  def _builder(self, data_dir: str | None):
    import tensorflow_datasets as tfds  # here: its import takes two seconds

    if re.search(r":\D", self.name):  # TFDS would ask its network for another catalogue's sets, and ask again for minutes
      raise DataError(f"TFDS data set {self.name!r}: sets of other catalogues are not read; prepare it under a name of its own")
    ours = self.name.removeprefix(PREFIX)
    if self.name.startswith(PREFIX) and ours in SETS and not (epath.Path(_folder(data_dir)).expanduser() / self.name).exists():
      raise DataError(f"TFDS data set {self.name!r} is not prepared in {_folder(data_dir)}; do it once: python -m "
                      f"research.data.builders.prepare --set={ours} --manual_dir=FILES --data_dir={_folder(data_dir)}, where "
                      f"FILES holds {SETS[ours].needs}")
    try:
      return tfds.builder(self.name, data_dir=data_dir, try_gcs=False)
    except Exception as error:  # not in the catalogue, or its code needs TensorFlow, and no prepared files either
      raise DataError(f"TFDS data set {self.name!r} is not in {_folder(data_dir)} and cannot be built without TensorFlow "
                      f"({type(error).__name__}); prepare it elsewhere and copy it there") from error


def _folder(data_dir: str | None) -> str:
  return f"{data_dir or '~/tensorflow_datasets'}"


class _TFDSExamples(Examples):

  def __init__(self, source, name: str, num: int):
    self._source, self._name, self._num = source, name, num

  def __len__(self) -> int:
    return self._num

  def read(self, indices: np.ndarray) -> Features:
    rows = self._source.__getitems__([int(i) for i in indices])
    return {name: [_text(row[name]) for row in rows] for name in rows[0]}

  def key(self, index: int) -> str:
    return f"{self._name}[{index}]"


def _text(value):
  return value.decode() if isinstance(value, bytes) else value
