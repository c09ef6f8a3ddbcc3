"""Which classes are taken for which, from one record an example: as rows these would be C x C numbers each.

N examples, C classes. A prediction of -1 is no answer: it is wrong, whatever the label.
"""

import numpy as np


def confusion_matrix(labels_N: np.ndarray, predictions_N: np.ndarray, num_classes: int) -> np.ndarray:
  """Counts (C, C + 1): a row a true class, a column a predicted one, the last column for no answer."""
  columns = np.where(predictions_N < 0, num_classes, predictions_N)
  cells = np.bincount(labels_N * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
  return cells.reshape(num_classes, num_classes + 1)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
  """The share of each class (C,) that is recognised; not a number for a class without examples."""
  count = matrix.sum(1)
  return np.where(count > 0, np.diagonal(matrix) / np.maximum(count, 1), np.nan)


def balanced_accuracy(labels_N: np.ndarray, predictions_N: np.ndarray, weights_N: np.ndarray | None = None) -> float:
  """The mean over the classes that occur of the share that is recognised: "mean per class" accuracy.

  Args:
    labels_N: true classes.
    predictions_N: predicted classes.
    weights_N: how often each example counts; once if None.
  """
  weights = np.ones(len(labels_N)) if weights_N is None else weights_N
  count, right = (np.bincount(labels_N, weights=w) for w in (weights, weights * (labels_N == predictions_N)))
  occurs = count > 0
  return float(np.mean(right[occurs] / count[occurs])) if occurs.any() else float("nan")


def macro_f1(labels_N: np.ndarray, predictions_N: np.ndarray, weights_N: np.ndarray | None = None) -> float:
  """The mean over the classes of F1; of those that are the label or the prediction of any example. Arguments as above."""
  true, predicted, right = _by_class(labels_N, predictions_N, weights_N)
  either = (true + predicted)[:-1]
  occurs = either > 0
  return float(np.mean(2 * right[:-1][occurs] / either[occurs])) if occurs.any() else float("nan")


def matthews_correlation(labels_N: np.ndarray, predictions_N: np.ndarray, weights_N: np.ndarray | None = None) -> float:
  """The correlation of labels and predictions, -1 to 1 (Matthews 1975; for several classes Gorodkin 2004, equation 8).

  0 where all labels or all predictions are alike. No answer is a class of its own. Arguments as above.
  """
  true, predicted, right = _by_class(labels_N, predictions_N, weights_N)
  total = true.sum()
  spread = (total**2 - true @ true) * (total**2 - predicted @ predicted)
  if not total:
    return float("nan")
  return float((total * right.sum() - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def _by_class(labels_N, predictions_N, weights_N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Of each class (C + 1,), the last of which is no answer: the weight of its examples, of its predictions, of the right."""
  weights = np.ones(len(labels_N)) if weights_N is None else np.asarray(weights_N, np.float64)
  num = int(max(np.max(labels_N, initial=-1), np.max(predictions_N, initial=-1))) + 1
  predictions = np.where(predictions_N < 0, num, predictions_N)
  true, predicted, right = (np.bincount(classes, weights=w, minlength=num + 1) for classes, w in (
      (labels_N, weights), (predictions, weights), (labels_N, weights * (labels_N == predictions_N))))
  return true, predicted, right


def most_confused(matrix: np.ndarray, num: int) -> list[tuple[int, int, int]]:
  """The most frequent (true class, predicted class, count) off the diagonal, at most `num`; no answer is none."""
  wrong = matrix[:, :-1] * (1 - np.eye(len(matrix), dtype=int))
  order = np.argsort(-wrong, axis=None, kind="stable")[:num]
  pairs = ((*divmod(int(cell), len(matrix)), int(wrong.flat[cell])) for cell in order)
  return [pair for pair in pairs if pair[2]]
