"""How far predicted numbers rise and fall with the true ones.

N examples, each of which counts weights_N times, once where that is None. Not a number where all of either side are alike.
"""

import numpy as np


def pearson(truth_N: np.ndarray, predicted_N: np.ndarray, weights_N: np.ndarray | None = None) -> float:
  """The correlation, −1 to 1."""
  weights_N = np.ones(len(truth_N)) if weights_N is None else np.asarray(weights_N, np.float64)
  if not weights_N.sum():
    return float("nan")
  about_mean = lambda x_N: x_N - np.average(x_N, weights=weights_N)
  x_N, y_N = (about_mean(np.asarray(values, np.float64)) for values in (truth_N, predicted_N))
  spread = np.sqrt((weights_N @ x_N**2) * (weights_N @ y_N**2))
  return float(weights_N @ (x_N * y_N) / spread) if spread > 0 else float("nan")


def spearman(truth_N: np.ndarray, predicted_N: np.ndarray, weights_N: np.ndarray | None = None) -> float:
  """The correlation of the ranks; values that are alike share the mean of their ranks."""
  weights_N = np.ones(len(truth_N)) if weights_N is None else np.asarray(weights_N, np.float64)
  return pearson(_ranks(truth_N, weights_N), _ranks(predicted_N, weights_N), weights_N)


def _ranks(values_N: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
  """The mean rank (N,) of each, where every example stands as often in the order as it counts."""
  _, group_N = np.unique(values_N, return_inverse=True)
  size_G = np.bincount(group_N, weights=weights_N)
  return (np.cumsum(size_G) - (size_G - 1) / 2)[group_N]
