"""Speech in files: with a list of them, or in the layouts of LibriSpeech, Common Voice and Speech Commands.

Every example has `record`, the bytes of its audio file, read when they are needed; the length of `record` is in seconds, known
from a list or from the file's header. Where a file is broken its length is 0, and reading it is what tells. N examples.
"""

import csv
import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from etils import epath

from research.data.examples import Columns, DataError, Examples
from research.data.files import find
from research.data.sources import JSONL, Source
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Trained
from research.preprocessing.audio import AudioError, seconds
from research.preprocessing.text.training import TokenizerTraining
from research.preprocessing.transform import Features

_SECONDS = ("seconds", "duration")  # fields of a list that say how long an example lasts


class AudioFiles(Examples):
  """Audio files and what is known of each.

  Args:
    root: the folder they are in.
    files: their names below it, (N,).
    columns: further features, each of N.
    keys: by which people find them; the files' names if None.
    lengths: seconds (N,); read from the files' headers when they are first asked for, if None.
  """

  def __init__(self, root: epath.Path, files: Sequence[str], columns: Features, keys: Sequence[str] | None = None,
               lengths: np.ndarray | None = None):
    self._root, self._files, self._keys, self._known = root, files, files if keys is None else keys, lengths
    self._columns = Columns(columns) if columns else None

  def __len__(self) -> int:
    return len(self._files)

  @functools.cached_property
  def lengths(self) -> dict[str, np.ndarray]:
    return {"record": np.array([_seconds(self._root / file) for file in self._files]) if self._known is None else self._known}

  def read(self, indices: np.ndarray) -> Features:
    records = [(self._root / self._files[i]).read_bytes() for i in indices]
    return {"record": records, **self.raw(indices)}

  def raw(self, indices: np.ndarray) -> Features:
    return self._columns.read(indices) if self._columns else {}

  def key(self, index: int) -> str:
    return self._keys[index]


def _seconds(path: epath.Path) -> float:
  try:
    return seconds(path)
  except AudioError:
    return 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioManifest(Source):
  """A file with a JSON object a line: `audio` names an audio file, all other fields are features, such as `text`.

  A field `seconds` or `duration` is taken for the duration in seconds, so that no audio file need be opened to know it.

  Attributes:
    path: the .jsonl or .jsonl.gz, below the data folder; the files' names are below its own folder.
  """

  path: str

  def open_all(self, data_dir: str | None) -> AudioFiles:
    rows = JSONL(path=self.path).open(data_dir)
    columns = rows.read(np.arange(len(rows)))
    files = columns.pop("audio", None)
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
      raise DataError(f"{find(data_dir, self.path)}: every line needs a field audio, the name of a file")
    given = (columns.get(name) for name in _SECONDS)
    known = next((np.asarray(column, np.float64) for column in given if isinstance(column, np.ndarray)), None)
    return AudioFiles(find(data_dir, self.path).parent, files, columns, lengths=known)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return (find(data_dir, self.path),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LibriSpeech(Source):
  """One or more parts of LibriSpeech as its archives unpack (SPEAKER/CHAPTER/ID.flac and transcripts): `text`, upper case, and
  `speaker`.

  Attributes:
    parts: folders below the data folder, as LibriSpeech/train-clean-100.
  """

  parts: tuple[str, ...]

  def open_all(self, data_dir: str | None) -> AudioFiles:
    files, texts, speakers = [], [], []
    root = find(data_dir, self.parts[0]).parents[self.parts[0].strip("/").count("/")]
    for transcript in self.files(data_dir):
      for number, line in enumerate(transcript.read_text().splitlines(), 1):
        name, _, text = line.partition(" ")
        if name.count("-") != 2 or not text:
          raise DataError(f"{transcript} is damaged: line {number} is no SPEAKER-CHAPTER-NUMBER with a text")
        files.append(str(transcript.parent.relative_to(root) / f"{name}.flac"))
        texts.append(text)
        speakers.append(name.split("-")[0])
    return AudioFiles(root, files, {"text": texts, "speaker": speakers})

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    found = []
    for part in self.parts:
      folder = find(data_dir, part)
      transcripts = sorted(folder.glob("*/*/*.trans.txt"))
      if not transcripts:
        raise DataError(f"{folder} holds no SPEAKER/CHAPTER/*.trans.txt: it is no part of LibriSpeech")
      found += transcripts
    return tuple(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommonVoice(Source):
  """A language of Common Voice as its archive unpacks: `text` and `speaker`, durations from clip_durations.tsv if it is there.

  Attributes:
    path: the folder of the language, below the data folder.
    split: the list that is read: train, dev, test, validated or another.
  """

  path: str
  split: str

  def open_all(self, data_dir: str | None) -> AudioFiles:
    table = find(data_dir, f"{self.path}/{self.split}.tsv")
    rows = _table(table, ("path", "sentence", "client_id"))
    durations = find(data_dir, self.path) / "clip_durations.tsv"
    known = None
    if durations.exists():
      times = {row["clip"]: float(row["duration[ms]"]) / 1000 for row in _table(durations, ("clip", "duration[ms]"))}
      missing = next((row["path"] for row in rows if row["path"] not in times), None)
      if missing is not None:
        raise DataError(f"{durations} does not know {missing} of {table.name}")
      known = np.array([times[row["path"]] for row in rows])
    columns = {"text": [row["sentence"] for row in rows], "speaker": [row["client_id"] for row in rows]}
    return AudioFiles(table.parent / "clips", [row["path"] for row in rows], columns, lengths=known)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return (find(data_dir, f"{self.path}/{self.split}.tsv"),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechCommands(Source):
  """Speech Commands as its archive unpacks, a folder for each word: `labels` int32 among the sorted words, and `speaker`.

  Attributes:
    path: the folder, below the data folder.
    split: validation and test are what the lists in the folder say, train is the rest.
  """

  path: str
  split: Literal["train", "validation", "test"]

  def open_all(self, data_dir: str | None) -> AudioFiles:
    root, words = find(data_dir, self.path), self.class_names(data_dir)
    listed = {name: find(data_dir, f"{self.path}/{file}_list.txt").read_text().split()
              for name, file in (("validation", "validation"), ("test", "testing"))}
    if self.split == "train":
      others = {file for files in listed.values() for file in files}
      files = [f"{word}/{path.name}" for word in words for path in sorted((root / word).glob("*.wav"))]
      files = [file for file in files if file not in others]
    else:
      files = sorted(listed[self.split])
    numbers = {word: number for number, word in enumerate(words)}
    wrong = next((file for file in files if file.split("/")[0] not in numbers), None)
    if wrong is not None or not files:
      raise DataError(f"{root}: {'there are no files' if wrong is None else f'{wrong} is of no word there'} for {self.split}")
    labels = np.array([numbers[file.split("/")[0]] for file in files], np.int32)
    return AudioFiles(root, files, {"labels": labels, "speaker": [file.split("/")[1].split("_nohash_")[0] for file in files]})

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return tuple(find(data_dir, f"{self.path}/{name}_list.txt") for name in ("validation", "testing"))

  def class_names(self, data_dir: str | None) -> tuple[str, ...]:
    root = find(data_dir, self.path)
    words = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))
    if not words:
      raise DataError(f"{root} holds no folders: there must be one for each word")
    return tuple(words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedFrames(Source):
  """Sequences of frames packed into one .npz: an array (all frames, ...) and `offsets`, where each begins and the last ends.

  The array's name is that of the feature; each field of a .jsonl of the same name is a feature too. What was computed from
  audio once, and the audio not kept, comes so.

  Attributes:
    path: the .npz, below the data folder.
    name: the array.
  """

  path: str
  name: str

  def open_all(self, data_dir: str | None) -> Examples:
    path = find(data_dir, self.path)
    with path.open("rb") as file:
      arrays = dict(np.load(file, allow_pickle=False))
    if {self.name, "offsets"} - set(arrays):
      raise DataError(f"{path} has no array {self.name!r} or no offsets, but {', '.join(sorted(arrays))}")
    offsets, frames = arrays["offsets"], arrays[self.name]
    if offsets.ndim != 1 or not len(offsets) or np.any(np.diff(offsets) < 0) or offsets[0] < 0 or offsets[-1] > len(frames):
      raise DataError(f"{path} is damaged: offsets must rise and reach at most {len(frames)}, the number of frames")
    rows = JSONL(path=str(epath.Path(self.path).with_suffix(".jsonl"))).open(data_dir)
    if len(rows) != len(offsets) - 1:
      raise DataError(f"{path} is damaged: {len(offsets) - 1} sequences, but {len(rows)} lines beside it")
    columns = rows.read(np.arange(len(rows)))
    sequences = [frames[a:b] for a, b in zip(offsets, offsets[1:])]
    return _Sequences(self.name, sequences, columns, columns.get("id"))

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    path = find(data_dir, self.path)
    return path, path.with_suffix(".jsonl")


class _Sequences(Columns):

  def __init__(self, name: str, sequences: list[np.ndarray], columns: Features, keys):
    super().__init__({name: sequences, **columns}, keys)
    self._lengths = {name: np.array([len(sequence) for sequence in sequences])}

  @property
  def lengths(self) -> dict[str, np.ndarray]:
    return self._lengths


def transcribed(source: Source, labels: TokenizerTraining, corpus: Source, *, audio: str = "record") -> Tokenized:
  """Speech and its `text` as `targets`.

  Args:
    source: the speech.
    labels: what a text is made of.
    corpus: the texts that these are taken from: the training split, for all splits.
    audio: the feature that holds the speech.
  """
  return Tokenized(source=source, keep=(audio,), features=(
      Tokens(name="targets", text="text", tokenizer=Trained(settings=labels, corpus=corpus)),))


def _table(path: epath.Path, fields: tuple[str, ...]) -> list[dict[str, str]]:
  """The rows of a file with tabs and a line of names, none of them quoted."""
  rows = list(csv.DictReader(path.read_text().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
  for number, row in enumerate(rows, 2):
    if any(not row.get(field) for field in fields):
      raise DataError(f"{path} is damaged: line {number} has no {' or no '.join(f for f in fields if not row.get(f))}")
  if not rows:
    raise DataError(f"{path} is empty")
  return rows
