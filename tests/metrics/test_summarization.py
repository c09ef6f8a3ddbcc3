"""ROUGE as sums of rows, with one and several references."""

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from texts import HYPOTHESES, REFERENCES

from research.config import ConfigError
from research.metrics.summarization import Rouge

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@pytest.mark.parametrize("stemmer", [True, False])
def test_it_is_the_mean_of_rouge_score(stemmer):
  ours, theirs = Rouge(types=TYPES, stemmer=stemmer), RougeScorer(list(TYPES), use_stemmer=stemmer)
  rows = ours.rows(HYPOTHESES, [[r] for r in REFERENCES])
  for kind in TYPES:
    expected = 100 * np.mean([theirs.score(r, h)[kind].fmeasure for r, h in zip(REFERENCES, HYPOTHESES)])
    assert ours.metrics[kind].value(rows[kind].sum(0)) == pytest.approx(expected, abs=1e-9)
    assert rows[kind].shape == (len(REFERENCES), 2)


def test_several_references_are_told_apart():
  references = ["the cat sat on the mat", "a dog ran", "on the mat sat the cat"]
  value = lambda several: Rouge(several=several).scores("the cat on the mat sat", references)
  single = np.array([Rouge().scores("the cat on the mat sat", [r]) for r in references])
  assert single[0, 0] == single[2, 0] == 1 and single[0, 1] != single[2, 1]  # both have all words; the order differs
  np.testing.assert_allclose(value("best_rouge1"), single[0])
  np.testing.assert_allclose(value("maximum"), single.max(0))
  np.testing.assert_allclose(value("mean"), single.mean(0))
  assert value("maximum")[1] > value("best_rouge1")[1]
  with pytest.raises(AssertionError):
    value(None)


def test_lsum_needs_lines_and_l_ignores_them():
  ours = Rouge(types=("rougeL", "rougeLsum"), stemmer=False)
  lines, turned = "police killed the gunman\nthe gunman fled", "the gunman fled\npolice killed the gunman"
  whole, by_sentence = ours.scores(turned, [lines])
  assert whole < by_sentence == 1
  np.testing.assert_allclose(ours.scores(turned.replace("\n", " "), [lines.replace("\n", " ")]), [whole, whole])


def test_the_signature_says_tool_stemmer_and_references():
  metrics = Rouge(types=TYPES, several="best_rouge1", protocol="beam 4").metrics
  assert metrics["rouge1"].signature == "F1|refs:best_rouge1|stemmer:yes|rouge_score:0.1.2|beam 4"
  assert "sentences:newline" in metrics["rougeLsum"].signature and "sentences:newline" not in metrics["rougeL"].signature
  assert Rouge(stemmer=False).metrics["rouge1"].signature == "F1|nrefs:1|stemmer:no|rouge_score:0.1.2"
  assert len({Rouge(several=s).metrics["rouge1"].signature for s in (None, "best_rouge1", "maximum", "mean")}) == 4
  assert all(metric.better == "higher" for metric in metrics.values())


def test_empty_texts_score_nothing_and_count():
  rows = Rouge().rows(["", "a b", ""], [["a b"], [""], [""]])
  for its in rows.values():
    np.testing.assert_array_equal(its, [[0, 1]] * 3)
  assert Rouge().rows([], [])["rouge1"].shape == (0, 2)


@pytest.mark.parametrize("wrong", [{"types": ()}, {"types": ("rouge1", "rouge1")},
                                   {"types": ("rouge2",), "several": "best_rouge1"}])
def test_what_means_nothing_is_refused(wrong):
  with pytest.raises(ConfigError):
    Rouge(**wrong)
