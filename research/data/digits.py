"""The 1,797 real 8x8 scans of handwritten digits that scikit-learn carries (no download)."""

import dataclasses
from typing import Literal

import numpy as np

from research.data.examples import Columns, Examples
from research.data.intake import Intake, png
from research.data.sources import Source
from research.preprocessing.arrays import Cast, Reshape, Scale
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.ink import BrightOnDark
from research.preprocessing.resizing import Resize


def load_digits() -> tuple[np.ndarray, np.ndarray]:
  """Returns images (1797, 8, 8) float64 with grey levels 0 to 16, and labels (1797,) int64, in the file's order."""
  from sklearn import datasets  # here: its import takes a second

  digits = datasets.load_digits()
  return digits.images, digits.target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(Source):
  """scikit-learn's 1,797 digits: `inputs` (8, 8) float64, grey levels 0 to 16, `labels` 0..9 int64.

  Attributes:
    split: which part.
    num_train: how many are the train split; the others are the test split.
    permutation: seed of the order in which they are split (NumPy's legacy RandomState); None keeps the file's order.
  """

  split: Literal["train", "test"]
  num_train: int = 1297
  permutation: int | None = 0

  def __post_init__(self):
    super().__post_init__()
    if not 0 < self.num_train < 1797:
      raise ValueError(f"num_train={self.num_train}: there are 1797 digits, give 1 to 1796")

  def open_all(self, data_dir: str | None) -> Examples:
    images, labels = load_digits()
    num = len(images)
    order = np.arange(num) if self.permutation is None else np.random.RandomState(self.permutation).permutation(num)
    part = order[:self.num_train] if self.split == "train" else order[self.num_train:]
    return Columns({"inputs": images[part], "labels": labels[part]})

  def intake(self, data_dir: str | None) -> Intake:
    """Pictures of any size, a digit that fills them each. The levels 0 to 16 are the grey levels 0, 15, ... 240."""
    transforms = (DecodeImage(colour="grey"), BrightOnDark(), Resize(size=(8, 8), library="pillow", interpolation="area"),
                  Reshape(shape=(8, 8)), Cast(dtype="float64"), Scale(factor=1 / 15))
    return Intake(examples=self.open(data_dir), transforms=transforms,
                  file=lambda example: png((example["inputs"] * 15).astype(np.uint8)))
