"""BLEU, chrF and TER as sums of rows are the scores of sacreBLEU."""

import functools

import numpy as np
import pytest
import sacrebleu
from texts import HYPOTHESES, REFERENCES, many

from research.config import ConfigError
from research.metrics.base import bootstrap
from research.metrics.translation import Bleu, Chrf, Ter

SECOND = [*REFERENCES[1:], REFERENCES[0]]  # as a second reference of each sentence
METRICS = [
    (Bleu, {}, sacrebleu.BLEU()), (Bleu, {"tokenize": "none", "tokens": "words"}, sacrebleu.BLEU(tokenize="none", force=True)),
    (Bleu, {"tokenize": "zh", "lowercase": True}, sacrebleu.BLEU(tokenize="zh", lowercase=True)),
    (Chrf, {}, sacrebleu.CHRF()), (Chrf, {"word_order": 2}, sacrebleu.CHRF(word_order=2)),
    (Ter, {}, sacrebleu.TER()),
    (Ter, {"normalized": True, "case_sensitive": True}, sacrebleu.TER(normalized=True, case_sensitive=True)),
]


@functools.cache
def corpus():
  return many(120)


@pytest.mark.parametrize(("cls", "settings", "theirs"), METRICS, ids=lambda p: getattr(p, "__name__", ""))
@pytest.mark.parametrize("num_references", [1, 2])
def test_the_summed_rows_give_the_score_and_signature_of_sacrebleu(cls, settings, theirs, num_references):
  ours = cls(num_references=num_references, protocol="beam 5", **settings)
  (metric,) = ours.metrics.values()
  streams = [REFERENCES, SECOND][:num_references]
  (rows,) = ours.rows(HYPOTHESES, list(zip(*streams))).values()
  assert metric.value(rows.sum(0)) == pytest.approx(theirs.corpus_score(HYPOTHESES, streams).score, abs=1e-9)
  signature, *rest = metric.signature.rsplit("|", 2 if "tokens" in settings else 1)
  assert signature == str(theirs.get_signature())
  assert rest == [*([settings["tokens"]] if "tokens" in settings else []), "beam 5"]
  assert metric.better == ("lower" if cls is Ter else "higher")


def test_the_sum_over_parts_is_the_score_of_the_whole():
  references, system, _ = corpus()
  (metric,) = Bleu().metrics.values()
  parts = [Bleu().rows(system[i:i + 17], [[r] for r in references[i:i + 17]])["bleu"].sum(0) for i in range(0, 120, 17)]
  assert metric.value(np.sum(parts, 0)) == pytest.approx(sacrebleu.corpus_bleu(system, [references]).score, abs=1e-9)


@pytest.mark.parametrize("ours", [Bleu(), Chrf(), Ter()])
def test_perfect_empty_and_no_sentences(ours):
  ((name, metric),) = ours.metrics.items()
  best, worst = (0, 100) if name == "ter" else (100, 0)
  refs = [[r] for r in REFERENCES if r]
  value = lambda hypotheses, references: metric.value(ours.rows(hypotheses, references)[name].sum(0))
  assert value([r for r, in refs], refs) == pytest.approx(best)
  assert value([""] * len(refs), refs) == worst
  none = ours.rows([], [])[name]
  assert none.shape == (0, ours.rows([""], [["a"]])[name].shape[1])


def test_tokenized_bleu_has_its_own_name_and_says_what_its_tokens_are():
  assert list(Bleu(tokenize="none", tokens="Moses, lower case").metrics) == ["tokenized_bleu"]
  assert "Moses, lower case" in Bleu(tokenize="none", tokens="Moses, lower case").metrics["tokenized_bleu"].signature
  for wrong in ({"tokenize": "none"}, {"tokens": "Moses"}, {"num_references": 0}):
    with pytest.raises(ConfigError):
      Bleu(**wrong)


def test_bleu_is_that_of_its_formula():
  """Papineni's example of clipping: 2 of 7 unigrams count, and no bigram."""
  rows = Bleu().rows(["the the the the the the the"], [["The cat is on the mat"]])["bleu"][0]
  rows_lower = Bleu(lowercase=True).rows(["the the the the the the the"], [["The cat is on the mat"]])["bleu"][0]
  np.testing.assert_array_equal(rows, [7, 6, 1, 0, 0, 0, 7, 6, 5, 4])
  np.testing.assert_array_equal(rows_lower, [7, 6, 2, 0, 0, 0, 7, 6, 5, 4])


def test_the_bootstrap_interval_is_sacrebleus():
  references, system, _ = corpus()
  rows = Bleu().rows(system, [[r] for r in references])["bleu"]
  low, high = bootstrap(rows, Bleu().metrics["bleu"].value)
  theirs = sacrebleu.BLEU().corpus_score(system, [references], n_bootstrap=1000)
  assert (low + high) / 2 == pytest.approx(theirs._mean, abs=0.3)
  assert (high - low) / 2 == pytest.approx(theirs._ci, rel=0.15)
