"""Confusions, counted."""

import numpy as np

from research.metrics import confusion

LABELS = np.array([0, 0, 0, 1, 1, 3])
PREDICTIONS = np.array([0, 1, -1, 1, 0, 1])


def test_counts_by_true_and_predicted_class():
  matrix = confusion.confusion_matrix(LABELS, PREDICTIONS, 4)
  np.testing.assert_array_equal(matrix, [[1, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0] * 5, [0, 1, 0, 0, 0]])


def test_it_is_that_of_scikit_learn():
  from sklearn.metrics import confusion_matrix

  labels, predictions = np.random.default_rng(0).integers(0, 30, (2, 5000))
  ours = confusion.confusion_matrix(labels, predictions, 30)
  np.testing.assert_array_equal(ours[:, :-1], confusion_matrix(labels, predictions))


def test_a_class_without_examples_has_no_accuracy_and_does_not_count():
  matrix = confusion.confusion_matrix(LABELS, PREDICTIONS, 4)
  np.testing.assert_allclose(confusion.class_accuracy(matrix), [1 / 3, 1 / 2, np.nan, 0])
  assert np.isclose(confusion.balanced_accuracy(LABELS, PREDICTIONS), (1 / 3 + 1 / 2 + 0) / 3)
  assert np.isnan(confusion.balanced_accuracy(LABELS[:0], PREDICTIONS[:0]))


def test_the_most_confused_come_first_and_the_diagonal_never():
  matrix = np.array([[50, 2, 0, 9], [7, 40, 0, 0], [0, 0, 3, 0]])
  assert confusion.most_confused(matrix, 2) == [(1, 0, 7), (0, 1, 2)]
  assert confusion.most_confused(matrix, 9) == [(1, 0, 7), (0, 1, 2)]  # no answer is no class
