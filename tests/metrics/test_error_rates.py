"""Error rates are jiwer's, add up over utterances, and say in their signature what was done to the texts."""

import itertools

import jiwer
import numpy as np
import pytest

from research.metrics.base import bootstrap
from research.metrics.speech import ErrorRate, by_speaker, edits, error_rate, speaker_bootstrap


def random_texts(num, seed, words=("a", "b", "cc", "dd", "e f", "gh")):
  rng = np.random.default_rng(seed)
  return [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(num)]


@pytest.mark.parametrize("unit", ["word", "character"])
def test_rates_are_jiwers(unit):
  references, hypotheses = random_texts(60, 0), random_texts(60, 1)
  hypotheses[3], hypotheses[4] = "", references[4]
  metric = ErrorRate(unit=unit)
  (name, rows), = metric.rows(hypotheses, [[text] for text in references]).items()
  theirs = (jiwer.process_words if unit == "word" else jiwer.process_characters)(references, hypotheses)
  assert metric.metrics[name].value(rows.sum(0)) == pytest.approx(100 * getattr(theirs, name))
  assert rows.sum(0)[3] == theirs.hits + theirs.substitutions + theirs.deletions
  assert rows[:, :3].sum() == theirs.substitutions + theirs.deletions + theirs.insertions
  assert rows[3].tolist() == [0, rows[3, 3], 0, rows[3, 3]] and rows[4, :3].sum() == 0


def test_the_kinds_of_edits():
  assert edits(["the", "cat", "sat"], ["the", "bat", "sat", "on"]).tolist() == [1, 0, 1, 3]
  assert edits([1, 2, 3], [3]).tolist() == [0, 2, 0, 3]
  assert edits([], ["x", "y"]).tolist() == [0, 0, 2, 0]
  for reference, hypothesis in itertools.product(itertools.product("ab", repeat=3), itertools.product("ab", repeat=2)):
    row = edits(reference, hypothesis)  # lengths must balance whatever the way
    assert row[3] - row[1] + row[2] == 2 and row[3] == 3


def test_a_rate_is_of_all_words_and_not_a_mean():
  rows = ErrorRate().rows(["x", "a b c d e f g h i"], [["a"], ["a b c d e f g h i"]])["wer"]
  assert error_rate(rows.sum(0)) == pytest.approx(10)
  assert error_rate(ErrorRate().rows(["a b c"], [["d"]])["wer"][0]) == 300
  assert np.isnan(error_rate(np.zeros(4)))


def test_normalizers_and_their_signatures():
  spoken = "Mr. Smith won't pay twenty-five dollars for, uh, the Colour!"
  written = "mister smith will not pay $25 for the color"
  rate = lambda normalizer: error_rate(ErrorRate(normalizer=normalizer).rows([spoken], [[written]])["wer"][0])
  assert rate("none") >= rate("basic") > rate("english") == 0
  assert ErrorRate(normalizer="english", protocol="greedy").metrics["wer"].signature == "WER|normalizer:english|greedy"
  assert ErrorRate(unit="character").metrics["cer"].signature == "CER|spaces:counted|normalizer:none"
  assert error_rate(ErrorRate(normalizer="basic").rows(["Hello, [noise] world"], [["hello world!"]])["wer"][0]) == 0
  assert error_rate(ErrorRate().rows(["cafe\u0301"], [["café"]])["wer"][0]) == 0


def test_digits_know_no_spaces():
  row = ErrorRate(unit="digit").rows(["1 2 34"], [["12 3 5"]])["der"][0]
  assert row.tolist() == [1, 0, 0, 4]
  assert error_rate(ErrorRate(unit="character").rows(["1 2"], [["12"]])["cer"][0]) == 50


def test_speakers_are_resampled_whole():
  rng = np.random.default_rng(0)
  speakers = np.repeat(np.arange(10), 30)
  wrong = rng.random(300) < np.repeat(rng.uniform(0, 0.6, 10), 30)  # speakers differ far more than utterances do
  rows = np.stack([wrong, 0 * wrong, 0 * wrong, 0 * wrong + 1], axis=1).astype(np.int64)
  np.testing.assert_array_equal(by_speaker(rows, speakers)[:, 0], wrong.reshape(10, 30).sum(1))
  wide, narrow = speaker_bootstrap(rows, speakers), bootstrap(rows, error_rate)
  assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0]) and wide[0] < error_rate(rows.sum(0)) < wide[1]
