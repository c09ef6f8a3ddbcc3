"""Audio of all kinds becomes the same samples; hostile files become one clear line, quickly and in little memory."""

import dataclasses
import io
import json
import pathlib
import struct
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from research.config import ConfigError
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.preprocessing.audio import AudioError, DecodeAudio, from_array, read_audio, read_header, seconds, to_int16

RATE = 16_000
# A second and a quarter of gliding tones, which every codec keeps.
TIME = np.arange(RATE * 5 // 4) / RATE
TONES = (0.3 * np.sin(2 * np.pi * (300 + 200 * TIME) * TIME) + 0.1 * np.sin(2 * np.pi * 1100 * TIME)).astype(np.float32)
CODECS = {"wav": ("WAV", "PCM_16"), "float": ("WAV", "FLOAT"), "flac": ("FLAC", "PCM_16"), "vorbis": ("OGG", "VORBIS"),
          "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}


def encoded(samples=TONES, codec="wav", rate=RATE, **settings) -> bytes:
  kind, subtype = CODECS[codec]
  out = io.BytesIO()
  soundfile.write(out, samples, rate, format=kind, subtype=subtype, **settings)
  return out.getvalue()


def changed(record: bytes, at: int, value: bytes) -> bytes:
  return record[:at] + value + record[at + len(value):]


def without_length(mp3: bytes) -> bytes:
  """The MP3 without its first frame, which says how long it is."""
  return mp3[mp3.index(mp3[:2], 2):]


@pytest.mark.parametrize("codec", CODECS)
def test_every_format_gives_the_samples(codec):
  record = encoded(codec=codec)
  samples = read_audio(record, rate=RATE)
  header = read_header(record)
  assert (header.rate, header.channels, header.num_samples) == (RATE, 1, len(TONES)) and header.seconds == 1.25
  assert samples.dtype == np.float32 and samples.shape == TONES.shape
  error = samples - TONES
  if codec == "float":
    assert not error.any()
  elif codec in ("wav", "flac"):
    assert np.abs(error).max() <= 1 / 32768
    np.testing.assert_array_equal(to_int16(samples), soundfile.read(io.BytesIO(record), dtype="int16")[0])
  else:
    middle = slice(RATE // 10, -RATE // 10)  # the tones begin and end all at once
    assert 10 * np.log10(np.mean(TONES[middle]**2) / np.mean(error[middle]**2)) > 15


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_resampled_tone_is_the_tone_at_the_new_rate(rate):
  at = np.arange(rate) / rate
  tone = (0.5 * np.sin(2 * np.pi * 440 * at)).astype(np.float32)
  samples = read_audio(encoded(tone, "float", rate), rate=RATE)
  assert len(samples) == RATE
  expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
  np.testing.assert_allclose(samples[800:-800], expected[800:-800], atol=2e-4)
  np.testing.assert_allclose(samples, soxr.resample(tone, rate, RATE), atol=1e-6)  # the blocks leave no seams
  np.testing.assert_allclose(samples, from_array(tone, rate, rate=RATE), atol=1e-6)


def test_channels_become_their_mean_of_files_and_of_arrays():
  both = np.stack([TONES, -0.5 * TONES], axis=1)
  np.testing.assert_allclose(read_audio(encoded(both, "float"), rate=RATE), 0.25 * TONES, atol=1e-7)
  np.testing.assert_allclose(from_array(both, RATE, rate=RATE), 0.25 * TONES, atol=1e-7)
  whole = to_int16(both)
  np.testing.assert_allclose(from_array(whole, RATE, rate=RATE), 0.25 * TONES, atol=2 / 32768)
  np.testing.assert_allclose(from_array(whole.astype(np.int32) << 16, RATE, rate=RATE), 0.25 * TONES, atol=2 / 32768)


def test_paths_are_read_as_bytes_are(tmp_path):
  path = tmp_path / "speech.raw"  # its name means nothing
  path.write_bytes(encoded(codec="flac"))
  np.testing.assert_array_equal(read_audio(path, rate=RATE), read_audio(path.read_bytes(), rate=RATE))
  assert seconds(str(path)) == 1.25
  with pytest.raises(AudioError, match="cannot be read: No such file"):
    read_header(tmp_path / "missing.wav")


def test_int16_is_rounded_and_clipped():
  whole = to_int16(np.array([-2, -1, 0.6 / 32768, 0.99999, 1, 2]))
  np.testing.assert_array_equal(whole, [-32768, -32768, 1, 32767, 32767, 32767])


def test_the_transform_keeps_the_other_features_and_knows_the_lengths():
  features = {"record": [encoded(), encoded(TONES[:4000], "flac")], "label": np.arange(2)}
  transform = DecodeAudio(rate=8_000, dtype="int16")
  out = transform(features, None)
  assert list(out) == ["label", "inputs"] and [x.dtype for x in out["inputs"]] == [np.int16] * 2
  lengths = transform.lengths({"record": np.array([seconds(r) for r in features["record"]]), "ids": np.array([3, 4])})
  assert list(lengths) == ["ids", "inputs"] and lengths["inputs"].tolist() == [len(x) for x in out["inputs"]]


def test_an_mp3_that_does_not_say_its_length_is_counted():
  record = without_length(encoded(np.tile(TONES, 4), "mp3", bitrate_mode="CONSTANT", compression_level=0.5))
  assert seconds(record) == pytest.approx(5, abs=0.1)
  assert len(read_audio(record, rate=RATE)) == pytest.approx(5 * RATE, abs=0.1 * RATE)


def test_settings_are_checked():
  with pytest.raises(ConfigError, match="rate=10: must be from 1000 to 768000"):
    DecodeAudio(rate=10)
  with pytest.raises(ConfigError, match="max_seconds=0: must be above 0"):
    DecodeAudio(max_seconds=0)


# --- hostile files ---------------------------------------------------------------------------------------------------

WAV = encoded()
LENGTH = WAV.index(b"data") + 4
LONG = encoded(np.zeros(8_000 * 7200, np.int16), "flac", 8_000)
DEAFENING = np.random.default_rng(0).uniform(-1, 1, len(TONES)).astype(np.float32)
DEAF = np.where(np.arange(len(TONES)) == 99, np.nan, TONES).astype(np.float32)
HOSTILE = {
    "flac_cut_off": (encoded(codec="flac")[:9000], "damaged or cut off: flac decoder lost sync"),
    "wav_cut_off": (WAV[:9000], "damaged or cut off: the file ends"),
    "wav_cut_off_in_header": (WAV[:40], "damaged or cut off: the file ends"),
    "vorbis_cut_off": (encoded(codec="vorbis")[:4000], "damaged or cut off: the file ends"),
    "opus_cut_off": (encoded(codec="opus")[:-50], "damaged or cut off: the file ends"),
    "mp3_cut_off": (encoded(codec="mp3")[:2500], "damaged or cut off: .* samples of 20000"),
    "flac_changed": (changed(encoded(codec="flac"), 9000, b"U" * 50), "damaged or cut off"),
    "opus_changed": (changed(encoded(np.tile(TONES, 9), "opus"), 9000, b"U" * 50), "damaged: a page fails its checksum"),
    "opus_changed_at_its_end": (changed(encoded(codec="opus"), 5000, b"U" * 50), "damaged: a page fails its checksum"),
    "mp3_of_unknown_length": (without_length(encoded(np.concatenate([0.01 * TONES] * 3 + [DEAFENING] * 3), "mp3")),
                              "an MP3 of varying bit rate"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(9000), "no WAV, FLAC, Ogg or MP3: it begins with b'.xff.xd8"),
    "almost_mp3": (b"\xff\xfb\x90\x00" + bytes(9000), "no WAV, FLAC, Ogg or MP3"),
    "text": (b"speech " * 900, "no WAV, FLAC, Ogg or MP3: it begins with b'speech"),
    "empty": (b"", "no audio but an empty file"),
    "no_samples": (encoded(TONES[:0]), "audio without samples"),
    "nan": (encoded(DEAF, "float"), "samples that are not finite"),
    "not_scaled": (encoded(TONES * 32768, "float"), "samples as large as .*: must be within −1 to 1"),
    "channels": (encoded(np.zeros((50, 400), np.int16)), "400 channels: must be from 1 to 32"),
    "one_hertz": (changed(WAV, 24, struct.pack("<I", 1)), "a rate of 1 samples a second: must be from 1000"),
    "zero_hertz": (changed(WAV, 24, struct.pack("<I", 0)), "a damaged or empty wav file"),
    "two_hours": (LONG, "7200 seconds of audio, more than max_seconds=600"),
}
READ = {
    "three_gigabytes": (changed(WAV, LENGTH, struct.pack("<I", 3_000_000_000)), len(TONES)),
    "four_gigabytes_as_pipes_write": (changed(WAV, LENGTH, b"\xff" * 4), len(TONES)),
    "silence": (encoded(np.zeros(RATE, np.int16)), RATE),
    "clipped": (encoded(np.sign(TONES) * 1.5), len(TONES)),
    "a_hundredth_of_a_second": (encoded(TONES[:160]), 160),
    "one_sample": (encoded(TONES[:1]), 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_one_clear_line_at_once(name):
  record, message = HOSTILE[name]
  begin = time.perf_counter()
  with pytest.raises(AudioError, match=message) as caught:
    read_audio(record, rate=RATE)
  assert "\n" not in str(caught.value) and "object at" not in str(caught.value)
  assert time.perf_counter() - begin < 2


@pytest.mark.parametrize("name", READ)
def test_what_is_odd_but_whole_is_read(name):
  record, num = READ[name]
  samples = read_audio(record, rate=RATE)
  assert len(samples) == num and np.abs(samples).max() <= 1


def test_many_channels_and_rates_take_no_more_memory_than_twice_the_result():
  record = encoded(np.zeros((48_000 * 10, 8), np.int16), "flac", 48_000)
  tracemalloc.start()
  samples = read_audio(record, rate=RATE)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(samples) == RATE * 10 and peak < 2 * samples.nbytes + 2**20 < 0.2 * 48_000 * 10 * 8 * 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Files(Source):
  """The hostile files after good ones, all of one length."""

  def open_all(self, data_dir):
    broken = [record for record, _ in HOSTILE.values()]
    good = [encoded(TONES, codec) for codec in ("wav", "flac", "float")]
    names = [f"good_{n}" for n in range(3)] + list(HOSTILE)
    return Columns({"record": good + broken}, names)


def test_a_run_goes_on_without_them_and_counts_them_by_name():
  data = Data(train=Files(), evaluation={}, transforms=(DecodeAudio(),), batch_size=3 + len(HOSTILE), shuffle=False,
              max_broken_share=1.0)
  batches = data.training(data.open(None), seed=0)
  batch = next(batches)
  broken = batches.pipeline.broken
  batches.close()
  assert batch["mask"].tolist() == [1.0] * 3 + [0.0] * len(HOSTILE) and not np.asarray(batch["inputs"])[3:].any()
  assert set(broken.first) == set(HOSTILE)
  assert broken.first["nan"] == "AudioError: samples that are not finite numbers"


def test_real_speech_lasts_as_long_as_its_list_says(data_dir: pathlib.Path):
  for name in ("fsdd", "librispeech_mini", "yesno"):
    stored = dict(np.load(data_dir / "speech" / name / "test.npz"))
    rows = [json.loads(line) for line in (data_dir / "speech" / name / "test.jsonl").read_text().splitlines()]
    for i in range(5):
      record = stored["data"][stored["offsets"][i]:stored["offsets"][i + 1]].tobytes()
      assert seconds(record) == pytest.approx(rows[i]["seconds"], abs=0.002)
      assert len(read_audio(record, rate=RATE)) == pytest.approx(rows[i]["seconds"] * RATE, abs=0.002 * RATE)
