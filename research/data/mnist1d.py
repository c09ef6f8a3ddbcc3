"""MNIST-1D: ten digit-like signals, padded, scaled, moved, sheared and made noisy (Greydanus, Kobak 2024, ICML).

Every random number is drawn in the order of the authors' generator, with NumPy's frozen legacy generator, so the arrays
equal their published file up to the rounding of float32.
"""

import dataclasses
import functools
from typing import Literal

import numpy as np

from research.data.examples import Columns, Examples
from research.data.sources import Source

_TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_LENGTH, _FINAL_LENGTH = 72, 40
_MIN_PADDING, _MAX_PADDING, _MAX_SHIFT = 36, 60, 48


def templates() -> np.ndarray:
  """The ten noiseless signals (10, 12): unit variance over 6, starting at 0."""
  signals = np.array(_TEMPLATES)
  signals -= signals.mean(1, keepdims=True)
  signals /= signals.std(1, keepdims=True)
  return (signals - signals[:, :1]) / 6


def _resample(signal: np.ndarray, length: int) -> np.ndarray:
  return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(signal)), signal)


def _distort(signal: np.ndarray, random: np.random.RandomState, smooth) -> np.ndarray:
  padding = _MIN_PADDING + int(random.rand() * (_MAX_PADDING - _MIN_PADDING + 1))
  # A zero marks the padding, which becomes noise below: the signal itself must hold none.
  signal = _resample(np.append(signal + 1e-8, np.zeros(padding)), _LENGTH)
  signal *= 1 + 0.4 * (random.rand() - 0.5)
  shift = random.choice(_MAX_SHIFT)
  signal = np.roll(signal, shift)
  signal = np.where(signal != 0, signal, smooth(0.25 * random.randn(_LENGTH), 2))
  signal += 0.02 * random.randn(_LENGTH)
  signal -= 0.75 * (random.rand() - 0.5) * np.linspace(-0.5, 0.5, _LENGTH)
  return _resample(signal, _FINAL_LENGTH)


def make_mnist1d(num_samples: int = 5000, seed: int = 42, num_train: int = 4000) -> dict[str, np.ndarray]:
  """Generates the data set.

  Args:
    num_samples: signals in all, a multiple of 10; the published file has 5,000.
    seed: of the generator; the published file has 42.
    num_train: how many of them are for training; the others are the test set.

  Returns:
    `x` (num_train, 40) and `x_test` float64, of mean 0 and standard deviation 1 over all; `y`, `y_test` int64 in 0..9.

  Raises:
    ValueError: `num_samples` is no multiple of 10, or `num_train` is not in 0..num_samples.
  """
  if num_samples < 10 or num_samples % 10:
    raise ValueError(f"num_samples={num_samples}: MNIST-1D has 10 classes of equal size, give a multiple of 10")
  if not 0 <= num_train <= num_samples:
    raise ValueError(f"num_train={num_train}: must be from 0 to num_samples={num_samples}")
  from scipy import ndimage  # here: it is slow to import, and most runs generate nothing

  random = np.random.RandomState(seed)
  labels = np.repeat(np.arange(10), num_samples // 10)
  signals = np.stack([_distort(template, random, ndimage.gaussian_filter) for template in templates()[labels]])
  order = random.permutation(num_samples)
  x, y = signals[order], labels[order]
  x = (x - x.mean()) / x.std()
  return {"x": x[:num_train], "y": y[:num_train], "x_test": x[num_train:], "y_test": y[num_train:]}


def shuffled_positions() -> np.ndarray:
  """The order (40,) of the positions in the variant whose neighbourhoods mean nothing."""
  return np.random.RandomState(42).permutation(_FINAL_LENGTH)


_generated = functools.lru_cache(maxsize=2)(make_mnist1d)  # both splits come out of one generation, which takes a second


@dataclasses.dataclass(frozen=True, kw_only=True)
class MNIST1D(Source):
  """MNIST-1D, generated: `inputs` (40,) float64, `labels` 0..9 int64. The defaults give the published data.

  Attributes:
    split: which part.
    shuffled: the variant whose positions are put in a fixed random order.
    num_samples: signals in all, a multiple of 10.
    num_train: how many of them are the train split.
    seed: of the generator.
  """

  split: Literal["train", "test"]
  shuffled: bool = False
  num_samples: int = 5000
  num_train: int = 4000
  seed: int = 42

  def open_all(self, data_dir: str | None) -> Examples:
    data = _generated(self.num_samples, self.seed, self.num_train)
    suffix = "" if self.split == "train" else "_test"
    inputs = data["x" + suffix]
    return Columns({"inputs": inputs[:, shuffled_positions()] if self.shuffled else inputs,
                    "labels": data["y" + suffix]})
