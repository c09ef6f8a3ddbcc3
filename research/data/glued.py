"""Utterances glued from clips: strings of digits out of spoken digits, whose words and where they end are known. N clips."""

import dataclasses
import functools
import io
import wave

import numpy as np
from etils import epath

from research.config import ConfigError
from research.data.examples import DataError, Examples
from research.data.sources import Source
from research.preprocessing.audio import read_audio, to_int16
from research.preprocessing.transform import Features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Glued(Source):
  """Clips of another source one after another, those of an utterance by one speaker, drawn with replacement.

  An example has `record`, a WAV file's bytes, `text`, the clips' texts with blanks between, and `speaker`; `raw` has `ends`
  instead of the record: the second at which each clip ends.

  Attributes:
    source: the clips: `record`, `speaker` and a text.
    text: the field that says what is said in a clip.
    num: utterances.
    shortest: clips of an utterance, at least.
    longest: at most; every number between is as likely.
    rate: samples a second.
    seed: of what is drawn.
  """

  source: Source
  text: str = "text"
  num: int
  shortest: int = 1
  longest: int = 5
  rate: int = 16_000
  seed: int = 0

  def __post_init__(self):
    super().__post_init__()
    if not 1 <= self.shortest <= self.longest or self.num < 1:
      raise ConfigError(f"num={self.num}, shortest={self.shortest}, longest={self.longest}: must be 1 or more, and in order")

  def open_all(self, data_dir: str | None) -> "GluedExamples":
    clips = _clips(self.source, self.text, self.rate, None if data_dir is None else str(data_dir))
    rng = np.random.default_rng(self.seed)
    _, speaker_N = np.unique(clips.speakers, return_inverse=True)
    of_speaker = [np.flatnonzero(speaker_N == s) for s in range(speaker_N.max() + 1)]
    speakers = rng.integers(len(of_speaker), size=self.num)
    counts = rng.integers(self.shortest, self.longest + 1, size=self.num)
    drawn = np.split(rng.random(counts.sum()), np.cumsum(counts)[:-1])
    chosen = [of_speaker[s][(its * len(of_speaker[s])).astype(int)] for s, its in zip(speakers, drawn)]
    return GluedExamples(clips, chosen, self.rate)

  def files(self, data_dir: str | None) -> tuple[epath.Path, ...]:
    return self.source.files(data_dir)


@dataclasses.dataclass(frozen=True)
class _Clips:
  """Samples (int16), texts and speakers of N clips."""

  samples: list[np.ndarray]
  texts: list[str]
  speakers: np.ndarray


@functools.lru_cache(maxsize=4)  # the splits, and other processes' worth of opening them again
def _clips(source: Source, text: str, rate: int, data_dir: str | None) -> _Clips:
  read = (examples := source.open(data_dir)).read(np.arange(len(examples)))
  if missing := {"record", "speaker", text} - set(read):
    raise DataError(f"Glued: the clips have no {sorted(missing)[0]!r}, only {', '.join(read)}")
  samples = [to_int16(read_audio(record, rate=rate)) for record in read["record"]]
  return _Clips(samples, [str(value) for value in read[text]], np.asarray(read["speaker"]))


class GluedExamples(Examples):
  """What Glued opens to: `chosen` are the clips of each utterance."""

  def __init__(self, clips: _Clips, chosen: list[np.ndarray], rate: int):
    self._clips, self._chosen, self._rate = clips, chosen, rate
    self._sizes = np.array([len(samples) for samples in clips.samples])

  def __len__(self) -> int:
    return len(self._chosen)

  @functools.cached_property
  def lengths(self) -> dict[str, np.ndarray]:
    return {"record": np.array([self._sizes[its].sum() for its in self._chosen]) / self._rate}

  def read(self, indices: np.ndarray) -> Features:
    records = [wav(np.concatenate([self._clips.samples[n] for n in self._chosen[i]]), self._rate) for i in indices]
    return {"record": records, **{name: column for name, column in self.raw(indices).items() if name != "ends"}}

  def raw(self, indices: np.ndarray) -> Features:
    chosen = [self._chosen[i] for i in indices]
    return {"text": [" ".join(self._clips.texts[n] for n in its) for its in chosen],
            "speaker": [str(self._clips.speakers[its[0]]) for its in chosen],
            "ends": [(np.cumsum(self._sizes[its]) / self._rate).tolist() for its in chosen]}


def wav(samples_N: np.ndarray, rate: int) -> bytes:
  """Mono samples, int16, as a WAV file."""
  out = io.BytesIO()
  with wave.open(out, "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes(samples_N.astype("<i2").tobytes())
  return out.getvalue()
