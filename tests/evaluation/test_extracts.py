"""Extracts of texts: the first sentences, and the best there are."""

import numpy as np
import pytest

from research.evaluation.extracts import exhaustive_oracle, greedy_oracle, joined, lead, set_f1
from research.metrics.summarization import Rouge

RNG = np.random.default_rng(0)
WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "and", "then", "it", "was", "red"]
ROUGE = Rouge(types=("rouge1",), stemmer=False)


def rouge1(hypothesis, reference):
  return ROUGE.scores(hypothesis, [reference])[0]


def sentence(num):
  return " ".join(RNG.choice(WORDS, num))


def test_the_lead_skips_what_is_empty():
  assert lead(["", "one", " ", "two", "three"], 2) == "one\ntwo"
  assert lead([], 1) == lead(["", " "], 1) == ""


@pytest.mark.parametrize(("hypothesis", "reference", "f1"), [
    ("a b", "a b", 1), ("a a a b", "b a", 1), ("A b", "a b", 0.5), ("a", "a b c", 0.5), ("", "a", 0), ("", "", 0), 
    ("é 猫", "猫", 2 / 3)])
def test_sets_of_words_have_no_counts(hypothesis, reference, f1):
  assert set_f1(hypothesis, reference) == pytest.approx(f1)


def test_the_oracle_is_the_best_for_any_reference_and_the_first_of_equals():
  sentences = ["a cat", "a dog ran", "dog ran a", "the mat"]
  assert exhaustive_oracle(sentences, ["a dog ran"], set_f1) == (1,)
  assert exhaustive_oracle(sentences, ["nothing", "the mat"], set_f1) == (3,)
  assert exhaustive_oracle(sentences, ["the mat", "dog a ran"], set_f1) == (3,)
  assert exhaustive_oracle(sentences, ["unlike"], set_f1) == (0,)
  assert exhaustive_oracle([], ["a"], set_f1) == greedy_oracle([], ["a"], set_f1, 2) == ()


def test_exhaustive_beats_greedy_beats_one_sentence():
  for _ in range(20):
    sentences, references = [sentence(6) for _ in range(5)], [sentence(10), sentence(8)]
    value = lambda extract: max(rouge1(joined(sentences, extract), r) for r in references)  # noqa: B023
    one, greedy, best = (value(its) for its in (
        exhaustive_oracle(sentences, references, rouge1), greedy_oracle(sentences, references, rouge1, 3),
        exhaustive_oracle(sentences, references, rouge1, 3)))
    assert one <= greedy <= best


def test_greedy_stops_where_nothing_helps_and_keeps_the_order_of_the_text():
  assert greedy_oracle(["on the mat", "unlike", "a cat sat"], ["a cat sat on the mat"], rouge1, 3) == (0, 2)
  assert greedy_oracle(["unlike", "other"], ["a cat"], rouge1, 3) == ()
  assert greedy_oracle(["a cat", "sat on", "the mat"], ["a cat sat on the mat"], rouge1, 2) in {(0, 1), (0, 2), (1, 2)}
