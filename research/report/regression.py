"""What a report shows of predicted numbers."""

from collections.abc import Mapping

import numpy as np

from research.figures import Figure, Series

_POINTS = 1000


def predicted_against_true(records: Mapping[str, np.ndarray], split: str) -> Figure:
  """Each example's prediction over its target, evenly picked examples where they are many.

  Args:
    records: "index", "target" and "prediction" of each example (N,).
    split: its name, which goes into the title.
  """
  order = np.argsort(records["index"])
  shown = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), _POINTS)).round().astype(int))]
  target, prediction = records["target"], records["prediction"]
  ends = (target.min(), target.max())
  examples = Series("an example", target[shown], prediction[shown], kind="points")
  return Figure(
      f"Predicted and true, {split}", "target", "prediction",
      (examples, Series("as it should be", ends, ends, kind="theory")),
      caption="The closer to the line, the better; a flatter cloud is a network that keeps to the middle.")
