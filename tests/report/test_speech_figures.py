"""What a report shows of transcripts: errors where they are, sounds that a page can carry, speakers, levels of noise."""

import base64
import io
import json
import re

import jax
import numpy as np
import pytest
import soundfile

from research.augmentation.noise import with_noise
from research.config import from_json, to_json
from research.data.glued import wav
from research.evaluation.listening import Heard
from research.metrics.speech import ErrorRate
from research.report import speech
from research.report.page import write_report
from research.studies.base import Findings

RATE, RNG = 8000, np.random.default_rng(0)


def heard(seconds, words=()):
  samples = (8000 * np.sin(np.arange(int(seconds * RATE)) / 5) + RNG.normal(0, 300, int(seconds * RATE))).astype(np.int16)
  times = [{"word": word, "start": n * 0.1, "end": n * 0.1 + 0.05} for n, word in enumerate(words)]
  return Heard(wav(samples, RATE), RNG.normal(size=(int(seconds * 100), 8)), seconds, times), samples


@pytest.mark.parametrize("said, understood, wrong", [
    ("a b c", "a b c", [False] * 3), ("a b c", "a x c d", [False, True, False, True]), ("a b", "b", [False]), ("a", "", []),
    ("", "a", [True])])
def test_wrong_words(said, understood, wrong):
  assert speech.wrong_words(said, understood) == wrong


def test_utterances_are_seen_and_heard_as_far_as_a_page_can_carry(tmp_path):
  (first, samples), (long, _), (last, _) = heard(1.0, ["one", "too"]), heard(40.0), heard(0.5, ["<b>"])
  silent = Heard(None, RNG.normal(size=(30, 8)), 0.3, [])
  sheet, = speech.utterances([first, long, last, silent], ["one two", "x", "<i>", "y"], ["one too", "", "<b>", "y"],
                             ["a", "b", "c", "d"], title="Worst")
  assert [bool(its.sound) for its in sheet.items] == [True, False, True, False]
  assert sheet.items[0].words == (("one", 0.0, 0.05, False), ("too", 0.1, pytest.approx(0.15), True))
  data = base64.b64decode(sheet.items[0].sound.removeprefix("data:audio/flac;base64,"))
  again, rate = soundfile.read(io.BytesIO(data), dtype="int16")
  assert rate == RATE and np.abs(again.astype(int) - samples).max() <= 1
  assert all(its.picture.startswith("data:image/png") for its in sheet.items)
  found = from_json(json.loads(json.dumps(to_json(Findings(metrics={}, figures=(sheet,))))))
  write_report(tmp_path / "report.html", {"seeds": [0]}, {"0": found}, {}, {}, {})
  page = (tmp_path / "report.html").read_text("utf-8")
  assert len(page) < 400_000 and page.count("<audio") == 2 and "media-src data:" in page
  assert re.search(r'<span class="wrong" style="left: 10\.0%; width: 5\.0%"><b>too</b>', page)
  assert "&lt;b&gt;" in page and "<b><b>" not in page


def test_speakers_stand_in_the_order_of_their_errors():
  metric = ErrorRate()
  rows = metric.rows(["a b", "a", "a b c d", "x y"], [["a b"], ["a b"], ["a b c d"], ["a b"]])["wer"]
  figure, = speech.by_speaker(metric.metrics["wer"], rows, ["u", "v", "u", "w"], name="wer", split="test")
  assert figure.series[0].x == ("w", "v", "u") and figure.series[0].y == (100.0, 50.0, 0.0)
  assert not speech.by_speaker(metric.metrics["wer"], rows, ["u"] * 4, name="wer", split="test")


def test_noise_has_the_level_that_is_asked_for():
  x = np.concatenate([np.sin(np.arange(3000) / 7), np.full(500, 9.0)])[None].repeat(2, 0).astype(np.float32)
  batch = {"inputs": x, "inputs_length": np.array([3000, 3000]), "index": np.array([4, 5])}
  noisy = jax.device_get(jax.jit(with_noise)(batch, 10.0))["inputs"]
  noise = noisy[:, :3000] - x[:, :3000]
  for each in noise:
    assert 10 * np.log10(np.mean(x[0, :3000] ** 2) / np.mean(each**2)) == pytest.approx(10, abs=0.3)
  assert not noisy[:, 3000:].any() and np.abs(np.corrcoef(noise)[0, 1]) < 0.1
  whole = jax.device_get(jax.jit(with_noise)({**batch, "inputs": (x * 3000).astype(np.int16)}, 10.0))["inputs"]
  assert whole.dtype == np.int16 and np.abs(whole[:, :3000] / 3000 - noisy[:, :3000]).max() < 2e-2
