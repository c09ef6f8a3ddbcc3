"""Random numbers of single examples: the same whatever batch, host, thread or process an example is prepared in.

Each example has its own 64-bit key, mixed from seed, epoch and its index. Numbers of a whole batch come from a counter
hash (SplitMix64: Steele, Lea, Flood 2014, OOPSLA), as making a generator for every example would cost more than the
work. B: examples.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = 2**64 - 1


def _mix(x: np.ndarray) -> np.ndarray:
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


class Randomness:
  """A stream of random numbers for each example of a batch. Drawing twice gives the same; `fold` gives another stream.

  Keys are worked out when numbers are first drawn, so that streams nobody draws from cost nothing.

  Attributes:
    epochs_B: the examples' epochs, or None outside of a run.
    lasting: the streams that the same examples have in every epoch, or None.
  """

  def __init__(self, make_keys: Callable[[], np.ndarray], epochs_B: np.ndarray | None = None,
               lasting: "Randomness | None" = None):
    self._make_keys, self.epochs_B, self.lasting = make_keys, epochs_B, lasting

  @functools.cached_property
  def _keys_B(self) -> np.ndarray:
    return self._make_keys()

  @classmethod
  def of(cls, seed: int, epochs_B: np.ndarray, indices_B: np.ndarray) -> "Randomness":
    """The streams of examples `indices_B` in epochs `epochs_B` (both int, (B,))."""
    seeded = cls(lambda: np.full(indices_B.shape, seed & _MASK, np.uint64))
    return cls(seeded.fold(epochs_B).fold(indices_B)._make_keys, epochs_B, seeded.fold(indices_B))

  def fold(self, numbers: int | np.ndarray) -> "Randomness":
    """Independent streams, one for each number (a scalar or (B,))."""
    offsets = lambda: (np.atleast_1d(numbers).astype(np.uint64) + np.uint64(1)) * _GOLDEN
    return Randomness(lambda: _mix(_mix(self._keys_B + _GOLDEN) + offsets()), self.epochs_B,
                      self.lasting and self.lasting.fold(numbers))

  def uniform(self, num: int) -> np.ndarray:
    """(B, num) float64, uniform in [0, 1)."""
    counters = np.arange(1, num + 1, dtype=np.uint64) * _GOLDEN
    return (_mix(self._keys_B[:, None] + counters) >> np.uint64(11)) * 2.0**-53

  def integers(self, num: int, stop: int) -> np.ndarray:
    """(B, num) int64, uniform in 0..stop-1."""
    return (self.uniform(num) * stop).astype(np.int64)

  def normal(self, num: int) -> np.ndarray:
    """(B, num) float64, standard normal (Box and Muller 1958)."""
    half = (num + 1) // 2
    uniform = self.uniform(2 * half)
    radius, angle = np.sqrt(-2 * np.log1p(-uniform[:, :half])), 2 * math.pi * uniform[:, half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :num]

  def generator(self, example: int) -> np.random.Generator:
    """A NumPy generator of the stream of one example (0..B-1): 20 µs each, for work that is done example by example."""
    return np.random.Generator(np.random.Philox(key=int(self._keys_B[example])))
