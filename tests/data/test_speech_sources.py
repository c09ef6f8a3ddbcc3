"""The layouts of speech corpora, made here as their archives unpack, are read with their texts and durations."""

import io
import json

import numpy as np
import pytest
import soundfile

from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.examples import DataError
from research.data.sources import Records
from research.data.speech import AudioManifest, CommonVoice, LibriSpeech, PackedFrames, SpeechCommands
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio


def write(path, seconds, rate=8_000):
  path.parent.mkdir(parents=True, exist_ok=True)
  out = io.BytesIO()
  samples = 0.1 * np.random.default_rng(round(seconds * rate)).normal(size=round(seconds * rate))
  soundfile.write(out, samples, rate, format={".flac": "FLAC", ".wav": "WAV", ".mp3": "MP3"}[path.suffix])
  path.write_bytes(out.getvalue())


def everything(examples):
  return examples.read(np.arange(len(examples)))


def test_a_manifest_names_files_beside_it(tmp_path):
  write(tmp_path / "set/clips/a.flac", 0.5)
  write(tmp_path / "set/b.wav", 0.25)
  rows = [{"audio": "clips/a.flac", "text": "one"}, {"audio": "b.wav", "text": "two"}]
  path = tmp_path / "set/list.jsonl"
  path.write_text("\n".join(map(json.dumps, rows)))
  examples = AudioManifest(path="set/list.jsonl").open(str(tmp_path))
  assert everything(examples)["text"] == ["one", "two"] and examples.key(0) == "clips/a.flac"
  assert everything(examples)["record"][1] == (tmp_path / "set/b.wav").read_bytes()
  assert examples.lengths["record"].tolist() == [0.5, 0.25]
  path.write_text("\n".join(json.dumps({**row, "duration": n + 3}) for n, row in enumerate(rows)))
  assert AudioManifest(path="set/list.jsonl").open(str(tmp_path)).lengths["record"].tolist() == [3, 4]  # believed, not read
  path.write_text('{"text": "one"}')
  with pytest.raises(DataError, match="every line needs a field audio"):
    AudioManifest(path="set/list.jsonl").open(str(tmp_path))


def test_librispeech(tmp_path):
  for part, speaker, chapter in (("dev-clean", 84, 121), ("dev-other", 116, 288)):
    folder = tmp_path / f"LibriSpeech/{part}/{speaker}/{chapter}"
    for n in range(2):
      write(folder / f"{speaker}-{chapter}-000{n}.flac", 0.25 * (n + 1))
    (folder / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(
        f"{speaker}-{chapter}-000{n} IT'S {part.upper()} {n}" for n in range(2)))
  examples = LibriSpeech(parts=("LibriSpeech/dev-clean", "LibriSpeech/dev-other")).open(str(tmp_path))
  features = everything(examples)
  assert features["text"] == ["IT'S DEV-CLEAN 0", "IT'S DEV-CLEAN 1", "IT'S DEV-OTHER 0", "IT'S DEV-OTHER 1"]
  assert features["speaker"] == ["84", "84", "116", "116"] and examples.lengths["record"].tolist() == [0.25, 0.5] * 2
  assert examples.key(2) == "LibriSpeech/dev-other/116/288/116-288-0000.flac"
  with pytest.raises(DataError, match="no part of LibriSpeech"):
    LibriSpeech(parts=("LibriSpeech/dev-clean/84",)).open(str(tmp_path))


def test_common_voice(tmp_path):
  for name, length in (("x.mp3", 0.5), ("y.mp3", 1.0)):
    write(tmp_path / "cv/en/clips" / name, length, rate=16_000)
  head = "client_id\tpath\tsentence\tup_votes\n"
  (tmp_path / "cv/en/dev.tsv").write_text(head + 's1\tx.mp3\tHe said "no.\t2\ns2\ty.mp3\tYes.\t3\n')
  examples = CommonVoice(path="cv/en", split="dev").open(str(tmp_path))
  assert everything(examples)["text"] == ['He said "no.', "Yes."] and everything(examples)["speaker"] == ["s1", "s2"]
  np.testing.assert_allclose(examples.lengths["record"], [0.5, 1.0], atol=0.08)
  (tmp_path / "cv/en/clip_durations.tsv").write_text("clip\tduration[ms]\nx.mp3\t504\ny.mp3\t1008\n")
  assert CommonVoice(path="cv/en", split="dev").open(str(tmp_path)).lengths["record"].tolist() == [0.504, 1.008]
  (tmp_path / "cv/en/dev.tsv").write_text(head + "s1\tx.mp3\n")
  with pytest.raises(DataError, match="line 2 has no sentence"):
    CommonVoice(path="cv/en", split="dev").open(str(tmp_path))


def test_speech_commands(tmp_path):
  for word in ("yes", "no", "_background_noise_"):
    for n in range(3):
      write(tmp_path / f"sc/{word}/a{n}_nohash_0.wav", 0.25)
  (tmp_path / "sc/validation_list.txt").write_text("yes/a1_nohash_0.wav\n")
  (tmp_path / "sc/testing_list.txt").write_text("no/a2_nohash_0.wav\nyes/a2_nohash_0.wav\n")
  train, test = (SpeechCommands(path="sc", split=split).open(str(tmp_path)) for split in ("train", "test"))
  assert SpeechCommands(path="sc", split="train").class_names(str(tmp_path)) == ("no", "yes")
  assert [train.key(i) for i in range(len(train))] == ["no/a0_nohash_0.wav", "no/a1_nohash_0.wav", "yes/a0_nohash_0.wav"]
  assert everything(train)["labels"].tolist() == [0, 0, 1] and everything(train)["speaker"] == ["a0", "a1", "a0"]
  assert everything(test)["labels"].tolist() == [0, 1]


def test_a_broken_file_is_skipped_by_name_and_batches_are_made_by_length(tmp_path):
  lengths = [0.1, 0.4, 0.12, 0.39, 0.11, 0.38, 0.09]
  for n, length in enumerate(lengths):
    write(tmp_path / f"{n}.wav", length)
  (tmp_path / "6.wav").write_bytes(b"no audio")
  (tmp_path / "list.jsonl").write_text("\n".join(json.dumps({"audio": f"{n}.wav", "number": n}) for n in range(7)))
  data = Data(train=None, evaluation={"all": AudioManifest(path="list.jsonl")}, batch_size=1, eval_batch_size=2,
              transforms=(DecodeAudio(rate=8_000), Select(names=("inputs", "number"))),
              buckets=Buckets(features=("inputs",), lengths=((1000,), (4000,))), max_broken_share=0.5)
  batches = list(data.evaluating(data.open(str(tmp_path)), "all"))
  seen = {}
  for batch in batches:
    for number, length, mask in zip(*(np.asarray(batch[name]) for name in ("number", "inputs_length", "mask"))):
      if mask:
        seen[int(number)] = int(length)
        assert length <= batch["inputs"].shape[1]
  assert {batch["inputs"].shape for batch in batches} <= {(8, 1000), (2, 4000)}
  assert seen == {n: round(length * 8_000) for n, length in enumerate(lengths[:6])}


def test_real_records_know_their_durations(data_dir):
  examples = Records(path="speech/yesno/test.npz").open(str(data_dir))
  samples = DecodeAudio(rate=8_000)(everything(examples), None)["inputs"]
  lengths = DecodeAudio(rate=8_000).lengths(examples.lengths)["inputs"]
  assert np.abs(lengths - [len(x) for x in samples]).max() <= 4  # the list gives milliseconds


def test_packed_features(data_dir):
  examples = PackedFrames(path="speech/an4_mfcc/test.npz", name="mfcc").open(str(data_dir))
  features = examples.read(np.array([3, 5]))
  assert len(examples) == 130 and [x.shape[1] for x in features["mfcc"]] == [13, 13]
  assert examples.lengths["mfcc"][[3, 5]].tolist() == features["frames"].tolist() == [len(x) for x in features["mfcc"]]
  with pytest.raises(DataError, match="has no array 'mel'"):
    PackedFrames(path="speech/an4_mfcc/test.npz", name="mel").open(str(data_dir))
