"""Examples of data that are not here: of a published set's number and form, all zeros. For plans, which need no values."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np
from etils import epath

from research.data.dataset import Data
from research.data.examples import DataError, Examples
from research.data.sources import Source
from research.data.text import Transformed
from research.data.tfds import TFDS
from research.data.tokenized import Tokenized
from research.data.windows import TokenWindows
from research.preprocessing.transform import Features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
  """A data set as its authors describe it.

  Attributes:
    splits: split to number of examples.
    shape: of an image, a common one where they differ; () without images.
    tokens: of a text field, subword tokens in the mean (words times 1.2 where only words are published).
    gigabytes: of the training split on disk.
  """

  splits: Mapping[str, int]
  shape: tuple[int, ...] = ()
  tokens: Mapping[str, float] = dataclasses.field(default_factory=dict)
  gigabytes: float


_GLUE = {"cola": (8_551, 1_043, {"sentence": 11}), "sst2": (67_349, 872, {"sentence": 13}),
         "mrpc": (3_668, 408, {"sentence1": 26, "sentence2": 26}), "qqp": (363_846, 40_430, {"question1": 13, "question2": 13}),
         "stsb": (5_749, 1_500, {"sentence1": 14, "sentence2": 14}),
         "mnli": (392_702, 9_815, {"premise": 24, "hypothesis": 12}),
         "qnli": (104_743, 5_463, {"question": 14, "sentence": 36}), "rte": (2_490, 277, {"sentence1": 60, "sentence2": 11}),
         "wnli": (635, 71, {"sentence1": 23, "sentence2": 10})}
_SUMMARIES = ("train", "validation", "test")

SETS: dict[str, Published] = {
    "imagenet2012": Published(splits={"train": 1_281_167, "validation": 50_000}, shape=(375, 500, 3), gigabytes=138),
    **{f"fieldwork_wmt{year}_de_en": Published(splits={"train": num, "validation": 3_000, "test": 3_003},
                                               tokens={"en": 28, "de": 30}, gigabytes=num * 300 / 1e9)
       for year, num in ((14, 4_508_785), (16, 4_548_885), (17, 5_852_458))},
    "fieldwork_cnn_dailymail": Published(splits=dict(zip(_SUMMARIES, (287_113, 13_368, 11_490))), gigabytes=1.3,
                                         tokens={"article": 937, "highlights": 67}),
    "fieldwork_xsum": Published(splits=dict(zip(_SUMMARIES, (204_045, 11_332, 11_334))), gigabytes=0.5,
                                tokens={"document": 517, "summary": 28}),
    "fieldwork_wikitext103": Published(splits={"train": 28_475, "validation": 60, "test": 60}, tokens={"text": 4_130},
                                       gigabytes=0.54),
    "fieldwork_openwebtext": Published(splits={"train": 8_013_769}, tokens={"text": 1_127}, gigabytes=40),
    **{f"fieldwork_glue_{name}": Published(splits={"train": train, "validation": dev, "validation_matched": dev,
                                                   "validation_mismatched": dev}, tokens=tokens, gigabytes=train * 150 / 1e9)
       for name, (train, dev, tokens) in _GLUE.items()},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declared(Source):
  """Zeros in the form of another source's examples.

  Attributes:
    num: how many.
    fixed: (feature, shape, NumPy's name of the type) of what has one shape.
    ragged: (feature, mean length) of numbers whose lengths differ.
    gigabytes: that the data set has on disk.
  """

  num: int
  fixed: tuple[tuple[str, tuple[int, ...], str], ...] = ()
  ragged: tuple[tuple[str, float], ...] = ()
  gigabytes: float = 0.0

  def open_all(self, data_dir: str | None) -> Examples:
    return _Zeros(self)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return ()


class _Zeros(Examples):

  def __init__(self, source: Declared):
    self._source = source
    # Texts are of about lognormal lengths; the spread decides nothing but the shares of buckets.
    spread = np.exp(0.5 * np.random.default_rng(0).standard_normal(source.num if source.ragged else 0) - 0.125)
    self._lengths = {name: np.maximum(1, np.round(mean * spread)).astype(np.int64) for name, mean in source.ragged}

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    return self._lengths

  def __len__(self) -> int:
    return self._source.num

  def read(self, indices: np.ndarray) -> Features:
    fixed = {name: np.zeros((len(indices), *shape), dtype) for name, shape, dtype in self._source.fixed}
    return {**fixed, **{name: [np.zeros(n, np.int32) for n in lengths[indices]] for name, lengths in self._lengths.items()}}


def declared(data: Data, missing: DataError) -> Data:
  """The same data with zeros in the place of all sources. Raises `missing` where the form of one is not known without it."""
  of = lambda source: _of(source, missing)
  return dataclasses.replace(data, train=data.train and of(data.train),
                             evaluation={name: of(source) for name, source in data.evaluation.items()})


def _of(source: Source, missing: DataError) -> Declared:
  match source:
    case TFDS():
      known, num = _published(source, missing)
      if not known.shape:
        raise missing
      found = Declared(num=num, fixed=(("image", known.shape, "uint8"), ("label", (), "int64")), gigabytes=known.gigabytes)
    case Tokenized():
      known, num = _published(source.source, missing)
      of = lambda f: sum(_tokens(known, text, missing) for text in (f.text, f.pair) if text)
      found = Declared(num=num, gigabytes=known.gigabytes, fixed=tuple((name, (), "int64") for name in source.keep),
                       ragged=tuple((f.name, min(of(f), f.max_length or of(f))) for f in source.features))
    case TokenWindows():
      known, num = _published(source.source.source, missing)
      tokens = num * _tokens(known, source.source.features[0].text, missing)
      found = Declared(num=max(1, int(tokens // (source.stride or source.length))), gigabytes=known.gigabytes, fixed=(
          *((name, (source.length,), "int32") for name in ("inputs", "targets", "segments")),
          ("weights", (source.length,), "float32"), ("bytes", (), "float32"), ("words", (), "float32")))
    case _:
      raise missing
  return dataclasses.replace(found, skip=source.skip, limit=source.limit)


def _published(source: Source, missing: DataError) -> tuple[Published, int]:
  """The set beneath a source and how many examples the split has: train, or a part of it as train[:-4000]."""
  while isinstance(source, Transformed):
    source = source.source
  if not isinstance(source, TFDS) or source.name.partition(":")[0] not in SETS:
    raise missing
  known, split = SETS[source.name.partition(":")[0]], re.fullmatch(r"(\w+)(?:\[(-?\d*):(-?\d*)\])?", source.split)
  if split is None or split[1] not in known.splits:
    raise missing
  begin, end = (int(split[i]) if split[i] else None for i in (2, 3))
  return known, len(range(*slice(begin, end).indices(known.splits[split[1]])))


def _tokens(known: Published, text: str, missing: DataError) -> float:
  """Of a field, or of what a transform made of it (en_tokens)."""
  name = next((name for name in known.tokens if text == name or text.startswith(f"{name}_")), None)
  if name is None:
    raise missing
  return known.tokens[name]
