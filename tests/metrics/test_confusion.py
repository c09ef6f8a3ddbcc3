"""Confusions, counted."""

import functools

import numpy as np
import pytest
from sklearn import metrics

from research.metrics import confusion

LABELS = np.array([0, 0, 0, 1, 1, 3])
PREDICTIONS = np.array([0, 1, -1, 1, 0, 1])


def test_counts_by_true_and_predicted_class():
  matrix = confusion.confusion_matrix(LABELS, PREDICTIONS, 4)
  np.testing.assert_array_equal(matrix, [[1, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0] * 5, [0, 1, 0, 0, 0]])


def test_it_is_that_of_scikit_learn():
  labels, predictions = np.random.default_rng(0).integers(0, 30, (2, 5000))
  ours = confusion.confusion_matrix(labels, predictions, 30)
  np.testing.assert_array_equal(ours[:, :-1], metrics.confusion_matrix(labels, predictions))


def test_a_class_without_examples_has_no_accuracy_and_does_not_count():
  matrix = confusion.confusion_matrix(LABELS, PREDICTIONS, 4)
  np.testing.assert_allclose(confusion.class_accuracy(matrix), [1 / 3, 1 / 2, np.nan, 0])
  assert np.isclose(confusion.balanced_accuracy(LABELS, PREDICTIONS), (1 / 3 + 1 / 2 + 0) / 3)
  assert np.isnan(confusion.balanced_accuracy(LABELS[:0], PREDICTIONS[:0]))


def test_the_most_confused_come_first_and_the_diagonal_never():
  matrix = np.array([[50, 2, 0, 9], [7, 40, 0, 0], [0, 0, 3, 0]])
  assert confusion.most_confused(matrix, 2) == [(1, 0, 7), (0, 1, 2)]
  assert confusion.most_confused(matrix, 9) == [(1, 0, 7), (0, 1, 2)]  # no answer is no class


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_and_matthews_are_those_of_scikit_learn(seed):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 6, 300)
  predictions = np.where(rng.random(300) < 0.5, labels, rng.integers(0, 8, 300))
  weights = rng.integers(0, 4, 300)
  again = np.repeat(np.arange(300), weights)  # a weight is how often an example counts
  for its, theirs in ((confusion.macro_f1, functools.partial(metrics.f1_score, average="macro")),
                      (confusion.matthews_correlation, metrics.matthews_corrcoef)):
    assert its(labels, predictions) == pytest.approx(theirs(labels, predictions))
    assert its(labels, predictions, weights) == pytest.approx(theirs(labels[again], predictions[again]))


def test_no_answer_is_wrong_but_no_class_of_f1():
  labels, predictions = np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1])
  assert confusion.macro_f1(labels, predictions) == pytest.approx((2 / 3 + 1) / 2)
  assert confusion.matthews_correlation(labels, predictions) == pytest.approx(metrics.matthews_corrcoef(labels, predictions))


def test_one_class_only_has_no_correlation():
  assert confusion.matthews_correlation(np.zeros(5, int), np.zeros(5, int)) == 0
  assert np.isnan(confusion.macro_f1(LABELS[:0], PREDICTIONS[:0]))
