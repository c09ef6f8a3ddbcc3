"""What augmentations do to samples is what they say, each example and epoch its own, and nothing outside training."""

import numpy as np
import pytest
import soundfile
from pictures import randomness

from research.config import ConfigError
from research.preprocessing.audio_augmentations import AddNoise, Reverberate, SpeedPerturbation

RATE = 16_000
TONE = np.sin(2 * np.pi * 500 * np.arange(8000) / RATE).astype(np.float32)


@pytest.fixture
def recordings(tmp_path):
  """A hum to add, and a room: the direct sound after 5 ms and one echo 10 ms behind it."""
  hum = np.sign(np.sin(2 * np.pi * 50 * np.arange(2000) / RATE)) * 0.1
  room = np.zeros(1600)
  room[80], room[240] = 0.8, 0.4
  for name, samples in (("hum", hum), ("room", room)):
    soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
  return str(tmp_path / "hum.wav"), str(tmp_path / "room.wav")


def changed(transform, samples, num=1, epoch=0):
  return transform({"inputs": [samples] * num}, randomness(range(num), epoch=epoch))["inputs"]


def pitch(samples) -> float:
  return np.argmax(np.abs(np.fft.rfft(samples, 2**16))) * RATE / 2**16


def test_speed_changes_length_and_pitch():
  transform = SpeedPerturbation()
  out = changed(transform, TONE, 60)
  lengths = sorted({len(x) for x in out})
  np.testing.assert_allclose(lengths, [8000 / 1.1, 8000, 8000 / 0.9], atol=1)
  for x in out:
    assert pitch(x) == pytest.approx(500 * 8000 / len(x), abs=2)
  assert [len(x) for x in changed(transform, TONE, 60, epoch=1)] != [len(x) for x in out]
  known = transform.lengths({"inputs": np.array([8000, 100]), "labels": np.array([3, 4])})
  assert known["inputs"][0] >= max(lengths) and known["labels"].tolist() == [3, 4]
  assert SpeedPerturbation(speeds=(1.5,)).lengths({"inputs": np.array([9])})["inputs"] == 9  # some stay as they are


@pytest.mark.parametrize("files", [False, True])
def test_noise_has_the_ratio(files, recordings):
  transform = AddNoise(snr=(10, 20), files=recordings[:1] if files else ())
  ratios = [-10 * np.log10(np.mean(np.square(x - TONE)) / np.mean(np.square(TONE))) for x in changed(transform, TONE, 40)]
  assert 10 <= min(ratios) < 12 and 18 < max(ratios) <= 20.01
  first, second = changed(transform, TONE, 2)
  assert first.dtype == np.float32 and np.abs(first - second).max() > 0.01
  silent = np.zeros(50, np.float32)
  np.testing.assert_array_equal(changed(transform, silent)[0], silent)


def test_reverberation_adds_the_echo_and_no_delay(recordings):
  click = np.zeros(1000, np.float32)
  click[100] = 1
  out, = changed(Reverberate(files=recordings[1:]), click)
  expected = np.zeros(1000)
  expected[100], expected[260] = 2, 1
  np.testing.assert_allclose(out, expected / np.sqrt(5), atol=1e-6)
  assert len(out) == 1000 and out.dtype == np.float32


def test_only_in_training_and_as_often_as_said(recordings):
  features = {"inputs": [TONE], "labels": [1]}
  for transform in (SpeedPerturbation(), AddNoise(), Reverberate(files=recordings[1:])):
    assert transform(features, None)["inputs"][0] is TONE
  out = changed(AddNoise(probability=0.3), TONE, 500)
  assert np.mean([x is not TONE for x in out]) == pytest.approx(0.3, abs=0.06)


def test_wrong_settings_are_told():
  for make, message in ((lambda: SpeedPerturbation(speeds=(0.0,)), "must be one or more from 0.25 to 4"),
                        (lambda: AddNoise(snr=(9, 3)), "snr="), (lambda: Reverberate(files=()), "at least one"),
                        (lambda: AddNoise(probability=3), "probability=3: must be from 0 to 1")):
    with pytest.raises(ConfigError, match=message):
      make()
  with pytest.raises(ValueError, match="float32 each; decode to float32"):
    changed(AddNoise(), np.zeros(5, np.int16))
