"""The 1,797 real 8x8 scans of handwritten digits that scikit-learn carries (no download)."""

import numpy as np


def load_digits() -> tuple[np.ndarray, np.ndarray]:
  """Returns images (1797, 8, 8) float64 with grey levels 0 to 16, and labels (1797,) int64, in the file's order."""
  from sklearn import datasets  # here: its import takes a second

  digits = datasets.load_digits()
  return digits.images, digits.target
