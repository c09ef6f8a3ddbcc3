"""Features equal those of the libraries that defined them, and padding neither shows nor leaks."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import kaldi_native_fbank as knf
import numpy as np
import pytest
import scipy.fft

from research.augmentation import base, spec_augment, spectrogram
from research.augmentation.audio_features import Cepstrum, Deltas, KaldiFilterBank, LogMel
from research.augmentation.feature_normalization import NormalizeFeatures, NormalizeUtterance, statistics
from research.augmentation.spec_augment import SpecAugment
from research.config import ConfigError
from research.data.sources import Records
from research.preprocessing.audio import DecodeAudio, to_int16

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "audio"
sys.path.insert(0, str(FIXTURES))
from signals import RATE, signal  # noqa: E402

WHISPER = np.load(FIXTURES / "whisper.npz")


def features_of(transform, samples, **settings):
  """(T, M) of one utterance."""
  return np.asarray(jax.jit(lambda batch: transform(batch, None))({"inputs": samples[None], **settings})["inputs"][0])


def kaldi(made, samples) -> np.ndarray:
  made.accept_waveform(RATE, (samples * 32768).tolist())
  made.input_finished()
  return np.stack([made.get_frame(t) for t in range(made.num_frames_ready)])


def fbank_options(options, **settings):
  options.frame_opts.dither = 0
  for name, value in settings.items():
    setattr(options.mel_opts, name, value)
  return options


# --- equal to ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mels", [80, 128])
def test_log_mel_is_whispers(mels):
  transform = LogMel(num_mels=mels, seconds=30)
  run = jax.jit(lambda batch: transform(batch, None))
  for seconds, part in ((2.1, slice(0, 220)), (0.005, slice(0, 4)), (31.0, slice(2980, 3000))):
    samples = np.pad(signal(seconds), (0, 31 * RATE - round(seconds * RATE)))[None]
    out = run({"inputs": samples, "inputs_length": np.array([round(seconds * RATE)])})
    assert out["inputs"].shape == (1, 3000, mels) and out["inputs_length"] == min(-(-round(seconds * RATE) // 160), 3000)
    np.testing.assert_allclose(out["inputs"][0, part], WHISPER[f"{mels}_{seconds}"], atol=1e-5)


def test_the_batchs_own_length_gives_the_same_frames():
  samples = signal(2.1)
  np.testing.assert_allclose(features_of(LogMel(), samples), WHISPER["80_2.1"][:210], atol=1e-5)
  whole = to_int16(samples)
  np.testing.assert_array_equal(features_of(LogMel(), whole), features_of(LogMel(), whole.astype(np.float32) / 32768))


def test_both_forms_of_the_spectrum_agree():
  frames = np.random.default_rng(0).normal(size=(2, 30, 400)).astype(np.float32)
  for size in (400, 512):
    expected = np.abs(np.fft.rfft(frames.astype(np.float64), size)) ** 2
    for form in (spectrogram.by_fft, spectrogram.by_matmul):
      np.testing.assert_allclose(form(frames, fft_size=size), expected, atol=2e-6 * expected.max())


@pytest.mark.parametrize("settings", [{"num_bins": 80}, {"num_bins": 40, "low_freq": 130, "high_freq": 6800},
                                      {"num_bins": 23, "high_freq": -400}])
def test_filter_banks_are_kaldis(settings):
  samples = signal(1.3)
  expected = kaldi(knf.OnlineFbank(fbank_options(knf.FbankOptions(), **settings)), samples)
  ours = KaldiFilterBank(num_mels=settings["num_bins"], low=settings.get("low_freq", 20), high=settings.get("high_freq", 0))
  found = features_of(ours, samples)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_cepstra_are_kaldis():
  options = fbank_options(knf.MfccOptions(), num_bins=23)
  options.use_energy = False
  samples = signal(0.9)
  steps = KaldiFilterBank(num_mels=23), Cepstrum(num=13, lifter=22)
  found = jax.jit(lambda batch: base.apply(steps, batch, None))({"inputs": samples[None]})["inputs"][0]
  np.testing.assert_allclose(found, kaldi(knf.OnlineMfcc(options), samples), atol=2e-4)


def test_cepstra_are_the_first_of_an_orthonormal_cosine_transform():
  x = np.random.default_rng(0).normal(size=(1, 5, 40)).astype(np.float32)
  np.testing.assert_allclose(Cepstrum(num=12)({"inputs": x}, None)["inputs"],
                             scipy.fft.dct(x, norm="ortho")[..., :12], atol=1e-5)


def test_deltas_are_slopes():
  ramp = np.arange(12, dtype=np.float32)[None, :, None] * np.array([1.0, -3.0], np.float32)
  out = np.asarray(Deltas(order=2)({"inputs": ramp}, None)["inputs"][0])
  assert out.shape == (12, 6)
  np.testing.assert_allclose(out[4:-4, 2:], np.tile([1, -3, 0, 0], (4, 1)), atol=1e-5)
  # At the first frame: (1·(x1−x0) + 2·(x2−x0)) / 10, the frames before it being the first again.
  np.testing.assert_allclose(out[0, 2], 0.5, atol=1e-6)


def test_real_speech_is_as_exact_as_float32_is(data_dir):
  records = Records(path="speech/librispeech_mini/test.npz", limit=1).open(str(data_dir))
  for samples in DecodeAudio()(records.read(np.arange(1)), None)["inputs"]:
    found = features_of(KaldiFilterBank(), samples)
    error = np.abs(found - kaldi(knf.OnlineFbank(fbank_options(knf.FbankOptions(), num_bins=80)), samples))
    assert np.quantile(error, 0.999) < 1e-4 and error.max() < 3e-3  # in the quietest filters; float64 is as far from both


# --- padding ----------------------------------------------------------------------------------------------------------

FRONTENDS = {
    "log_mel": (LogMel(),),
    "kaldi": (KaldiFilterBank(), NormalizeUtterance()),
    "mfcc": (LogMel(num_mels=40, scale="htk"), Cepstrum(), Deltas(), NormalizeUtterance(variance=False)),
    "all": (KaldiFilterBank(num_mels=40), NormalizeFeatures(mean=(1.0,), deviation=(2.0,)), Deltas(order=1)),
}


@pytest.mark.parametrize("name", FRONTENDS)
def test_an_utterance_does_not_see_its_padding(name):
  alone, run = signal(0.7001), jax.jit(lambda batch: base.apply(FRONTENDS[name], batch, None))
  expected = run({"inputs": alone[None]})
  num = int(expected.get("inputs_length", [70])[0])
  for filling in (0.0, 1.0, np.nan):
    batch = np.full((3, 20_000), filling, np.float32)
    lengths = np.array([len(alone), 20_000, 0], np.int32)
    batch[0, :len(alone)], batch[1] = alone, signal(1.25, seed=1)
    out = run({"inputs": batch, "inputs_length": lengths})
    assert out["inputs_length"].tolist()[::2] == [num, 0]
    np.testing.assert_allclose(out["inputs"][0, :num], expected["inputs"][0, :num], atol=2e-5)
    assert not np.asarray(out["inputs"][0, num:]).any() and not np.asarray(out["inputs"][2]).any()


def test_normalised_utterances_have_mean_0_and_deviation_1():
  x = np.random.default_rng(0).normal(3, 5, (2, 50, 4)).astype(np.float32)
  out = np.asarray(NormalizeUtterance()({"inputs": x, "inputs_length": np.array([50, 20])}, None)["inputs"])
  for row, num in zip(out, (50, 20)):
    np.testing.assert_allclose(row[:num].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(row[:num].std(0), 1, atol=1e-5)


def test_global_figures_are_those_of_all_frames():
  parts = [np.random.default_rng(n).normal(n, 1 + n, (30 + n, 3)) for n in range(4)]
  mean, deviation = statistics(iter(parts))
  np.testing.assert_allclose((mean, deviation), (np.concatenate(parts).mean(0), np.concatenate(parts).std(0)), rtol=1e-9)
  out = NormalizeFeatures(mean=mean, deviation=deviation)({"inputs": np.concatenate(parts)[None]}, None)["inputs"]
  np.testing.assert_allclose(out[0].std(0), 1, atol=1e-5)


# --- SpecAugment ------------------------------------------------------------------------------------------------------


def hidden(transform, lengths, key=0, size=400, mels=40):
  """Where features were changed, (B, T, M)."""
  x = np.random.default_rng(1).choice(np.array([4, 6], np.float32), (len(lengths), size, mels))  # and never the mean
  batch = {"inputs": x, "inputs_length": jnp.asarray(lengths)}
  out = jax.jit(lambda batch, key: transform(batch, key)["inputs"])(batch, jax.random.key(key))
  assert transform(batch, None)["inputs"] is x
  changed = np.asarray(out) != x
  means = [row[:n].mean() for row, n in zip(x, lengths)]
  np.testing.assert_allclose(np.asarray(out)[changed], np.repeat(means, changed.sum((1, 2))), rtol=1e-5)
  return changed


def test_stretches_are_as_the_policy_says():
  changed = hidden(SpecAugment(), [400] * 60)
  frequencies, times = changed.all(1), changed.all(2)
  assert (changed == (frequencies[:, None] | times[:, :, None])).all()
  assert times.sum(1).max() <= 200 and frequencies.sum(1).max() <= 54
  one = hidden(spec_augment.basic(), [400] * 200)
  runs = np.diff(one.all(2).astype(int), axis=1, prepend=0, append=0)
  assert (runs > 0).sum(1).max() == 1
  widths = one.all(2).sum(1)
  assert widths.max() == 100 and widths.min() == 0 and widths.mean() == pytest.approx(50, abs=7)
  assert np.ptp(one.all(2).mean(0)[100:300]) < 0.25  # everywhere alike, but for the ends


def test_short_utterances_keep_most_of_themselves():
  changed = hidden(SpecAugment(max_share=0.1, num_frequency=0), [400, 50, 5] * 20)
  assert 5 <= changed.all(2)[1::3].sum(1).max() <= 10 and not changed[2::3].any() and not changed[1::3, 50:].any()


def test_wrong_settings_are_told():
  for make, message in ((lambda: LogMel(frame_size=25), "frame_size=25: must be even"), (lambda: LogMel(hop=0), "hop=0"),
                        (lambda: KaldiFilterBank(high=9000), r"low=20.0, high=9000: must be in order, within 0 to 8000"),
                        (lambda: Cepstrum(num=50)({"inputs": np.zeros((1, 2, 40))}, None), "num=50: must be at most 40"),
                        (lambda: NormalizeFeatures(mean=(1.0, 2.0), deviation=(1.0,)), "2 values of mean and 1 of deviation"),
                        (lambda: SpecAugment(max_share=2), "max_share=2")):
    with pytest.raises(ConfigError, match=message):
      make()
