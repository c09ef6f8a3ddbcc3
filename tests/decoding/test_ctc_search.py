"""With a beam wide enough the search finds what enumeration finds; the language model counts as ARPA says."""

import gzip
import itertools
import math

import numpy as np
import pytest

from research.config import ConfigError
from research.decoding.ctc_search import PrefixBeamSearch
from research.decoding.ngram import ArpaError, read_arpa

ARPA = """
\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-99\t<s>\t-0.3
-1.0\t</s>
-2.0\t<unk>
-0.4\ta\t-0.2
-0.6\tb\t-0.1
-1.2\tab

\\2-grams:
-0.1\t<s> a
-0.2\ta b
-0.5\tb a
-0.3\tb </s>

\\end\\
"""
TEN = math.log(10)


@pytest.fixture
def model(tmp_path):
  (tmp_path / "toy.arpa").write_text(ARPA)
  return read_arpa(tmp_path / "toy.arpa")


def collapsed(path):
  return tuple(label for label, _ in itertools.groupby(path) if label)


def enumerated(log_probs) -> dict:
  """ln p of every text, over all its alignments."""
  found = {}
  for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
    value = sum(log_probs[t, label] for t, label in enumerate(path))
    found[collapsed(path)] = np.logaddexp(found.get(collapsed(path), -np.inf), value)
  return found


def outputs(seed, num=5, size=3):
  logits = 1.5 * np.random.default_rng(seed).normal(size=(num, size))
  return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def test_a_wide_beam_finds_the_probability_of_every_text():
  for seed in range(5):
    expected = enumerated(outputs(seed))
    found = PrefixBeamSearch(num_beams=10_000, min_log_probability=-np.inf).search(outputs(seed))
    assert found[0].labels == max(expected, key=expected.__getitem__)
    assert {h.labels: pytest.approx(h.log_probability) for h in found} == expected


def test_it_beats_the_best_path():
  log_probs = np.log([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25]])  # the best path is blank, blank; "1" has more in all
  assert PrefixBeamSearch(num_beams=3).search(log_probs)[0].labels == (1,)


def test_one_beam_and_unlikely_outputs():
  log_probs = outputs(1, num=40, size=9)
  assert len(PrefixBeamSearch(num_beams=1).search(log_probs)) == 1
  wide, narrow = (PrefixBeamSearch(num_beams=8, min_log_probability=low).search(log_probs) for low in (-np.inf, -8.0))
  assert wide[0].labels == narrow[0].labels


def test_probabilities_back_off(model):
  assert model.order == 2 and model.start == ("<s>",)
  assert model.score(("<s>",), "a") == (pytest.approx(-0.1 * TEN), ("a",))
  assert model.score(("a",), "a")[0] == pytest.approx((-0.2 - 0.4) * TEN)
  assert model.score(("ab",), "b")[0] == pytest.approx(-0.6 * TEN)  # no weight of its own
  assert model.score(("a",), "zebra") == (pytest.approx((-0.2 - 2.0) * TEN), ("<unk>",))
  assert model.sentence(["a", "b"]) == pytest.approx((-0.1 - 0.2 - 0.3) * TEN)


@pytest.mark.parametrize("space", [None, 3])
def test_fusion_is_the_sum_it_says(model, tmp_path, space):
  names = ["", "a", "b", " "]
  settings = PrefixBeamSearch(num_beams=10_000, min_log_probability=-np.inf, weight=0.7, bonus=0.4, space=space,
                              language_model=str(tmp_path / "toy.arpa"))
  assert settings.signature == "ctc beam10000|toy.arpa, weight 0.7, bonus 0.4"

  def score(labels, log_probability):
    words = ["".join(names[label] for label in labels).split(), [names[label] for label in labels]][space is None]
    return log_probability + 0.7 * model.sentence(words) + 0.4 * len(words)

  log_probs = outputs(3, num=5, size=4)
  expected = {labels: score(labels, value) for labels, value in enumerated(log_probs).items()}
  found = settings.search(log_probs, names)
  assert {h.labels: pytest.approx(h.score) for h in found} == expected
  assert found[0].labels == max(expected, key=expected.__getitem__)


def test_broken_models_are_told(tmp_path):
  path = tmp_path / "model.arpa.gz"
  for text, message in ((ARPA.replace("ngram 2=4", "ngram 2=5"), "cut off: it promises"), ("hello", "promises no n-grams"),
                        (ARPA.replace("-0.4\ta", "x\ta"), "line 10: 'x"), (ARPA.replace("a b\n", "\n"), "line 16: '-0.2'")):
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ArpaError, match=message):
      read_arpa(path)
  path.write_bytes(gzip.compress(ARPA.encode())[:60])
  with pytest.raises(ArpaError, match="damaged"):
    read_arpa(path)
  with pytest.raises(ArpaError, match="does not exist"):
    read_arpa(tmp_path / "none.arpa")
  with pytest.raises(ConfigError, match=r"none\.arpa: there is no such file"):
    PrefixBeamSearch(language_model=str(tmp_path / "none.arpa"))
