"""Utterances that are glued from clips, and examples that are chosen by speaker."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile

from research.config import ConfigError
from research.data.chosen import Chosen
from research.data.examples import Columns, DataError
from research.data.glued import Glued, wav
from research.data.sources import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clips(Source):
  """Clip n of a speaker says n in n + 1 samples of the value 100 times the speaker plus n."""

  def open_all(self, data_dir):
    said = [(speaker, n) for speaker in range(3) for n in range(4)]
    records = [wav(np.full(n + 1, 100 * speaker + n, np.int16), 1000) for speaker, n in said]
    return Columns({"record": records, "speaker": [f"s{speaker}" for speaker, _ in said],
                    "digit": np.array([n for _, n in said])})

  def files(self, data_dir):
    return ()


def test_utterances_are_clips_of_one_speaker_and_their_ends_are_known():
  source = Glued(source=Clips(), text="digit", num=50, shortest=2, longest=4, rate=1000, seed=3)
  examples = source.open(None)
  at = np.arange(50)
  read, raw = examples.read(at), examples.raw(at)
  assert "ends" not in read and "record" not in raw
  counts = set()
  for record, text, speaker, ends, seconds in zip(read["record"], read["text"], read["speaker"], raw["ends"],
                                                  examples.lengths["record"]):
    samples, rate = soundfile.read(io.BytesIO(record), dtype="int16")
    digits = [int(n) for n in text.split()]
    expected = np.concatenate([np.full(n + 1, 100 * int(speaker[1]) + n) for n in digits])
    assert samples.tolist() == expected.tolist() and rate == 1000
    assert ends == pytest.approx(np.cumsum([n + 1 for n in digits]) / 1000) and seconds == pytest.approx(ends[-1])
    counts.add(len(digits))
  assert counts == {2, 3, 4} and len(set(read["speaker"])) == 3
  again = dataclasses.replace(source).open(None).read(at)
  assert again["record"] == read["record"] and dataclasses.replace(source, seed=4).open(None).read(at)["text"] != read["text"]
  with pytest.raises(ConfigError, match="shortest=3, longest=2"):
    Glued(source=Clips(), num=1, shortest=3, longest=2)
  with pytest.raises(DataError, match="no 'text'"):
    Glued(source=Clips(), num=1).open(None)


def test_a_split_by_speaker():
  heard = Chosen(source=Clips(), field="speaker", values=("s1",), leave_out=True).open(None)
  held = Chosen(source=Clips(), field="speaker", values=("s1",)).open(None)
  assert set(heard.raw(np.arange(len(heard)))["speaker"]) == {"s0", "s2"} and len(held) == 4
  assert len(Chosen(source=Clips(), field="digit", values=("0", "3")).open(None)) == 6
  with pytest.raises(DataError, match="no example has speaker=s9; there are s0, s1, s2"):
    Chosen(source=Clips(), field="speaker", values=("s9",)).open(None)
  with pytest.raises(DataError, match="no field 'age'"):
    Chosen(source=Clips(), field="age", values=("9",)).open(None)
