"""Short-time spectra and their mel filters, in one form for training, evaluation and export.

B utterances, N samples, T frames, W samples of a frame, F frequencies, M mel filters.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

MelScale = Literal["slaney", "htk"]


def frames(x_BN: jax.Array, size: int, hop: int, num: int) -> jax.Array:
  """Overlapping pieces (B, T, W): T = num of W = size samples each, hop apart, the first at sample 0.

  Cut as slices of blocks of one hop, which costs a copy, where indexing costs several.
  """
  parts = -(-size // hop)
  padding = max((num + parts - 1) * hop - x_BN.shape[1], 0)
  blocks = jnp.pad(x_BN, ((0, 0), (0, padding)))[:, :(num + parts - 1) * hop].reshape(x_BN.shape[0], num + parts - 1, hop)
  pieces = [blocks[:, k:k + num, :min(hop, size - k * hop)] for k in range(parts)]
  return jnp.concatenate(pieces, axis=2)


def each(function: Callable[[jax.Array], jax.Array], x_BN: jax.Array) -> jax.Array:
  """function(x), for one that treats utterances alike: on CPUs one after the other, as the frames of one fit into the cache."""
  one_by_one = lambda x_BN: jax.lax.map(lambda x_N: function(x_N[None])[0], x_BN)
  return jax.lax.platform_dependent(x_BN, cpu=one_by_one, default=function)


def power_spectrum(frames_BTW: jax.Array, fft_size: int) -> jax.Array:
  """|FFT|² (B, T, F = fft_size/2 + 1) of real frames, as if padded with zeros to fft_size.

  On CPUs by FFT, elsewhere as two matmuls, which TPUs and GPUs do faster than FFTs of such lengths.
  """
  return jax.lax.platform_dependent(
      frames_BTW, cpu=functools.partial(by_fft, fft_size=fft_size), default=functools.partial(by_matmul, fft_size=fft_size))


def by_fft(frames_BTW: jax.Array, *, fft_size: int) -> jax.Array:
  spectrum = jnp.fft.rfft(frames_BTW, n=fft_size)
  return jnp.square(spectrum.real) + jnp.square(spectrum.imag)


def by_matmul(frames_BTW: jax.Array, *, fft_size: int) -> jax.Array:
  size = frames_BTW.shape[-1]
  # The angle modulo a turn in whole numbers: float64 would do as well, float32 would not.
  angle_WF = 2 * np.pi / fft_size * (np.outer(np.arange(size), np.arange(fft_size // 2 + 1)) % fft_size)
  parts = [jnp.matmul(frames_BTW, jnp.asarray(wave(angle_WF), jnp.float32), precision="highest") for wave in (np.cos, np.sin)]
  return jnp.square(parts[0]) + jnp.square(parts[1])


@functools.lru_cache(maxsize=8)
def mel_filters(rate: int, fft_size: int, num: int, scale: MelScale) -> np.ndarray:
  """Triangles between equal steps of mel from 0 to rate/2, each of area 1 in Hz, (F, M) float64 ("Slaney's norm").

  Slaney's mel is linear to 1,000 Hz and logarithmic above (Auditory Toolbox); HTK's is 2595 log10(1 + f/700).
  """
  if scale == "htk":
    to_mel, to_hertz = lambda f: 2595 * np.log10(1 + f / 700), lambda m: 700 * (10**(m / 2595) - 1)
  else:
    step = np.log(6.4) / 27
    to_mel = lambda f: np.where(f < 1000, 3 * f / 200, 15 + np.log(np.maximum(f, 1000) / 1000) / step)
    to_hertz = lambda m: np.where(m < 15, 200 * m / 3, 1000 * np.exp((m - 15) * step))
  edges = to_hertz(np.linspace(0, float(to_mel(rate / 2)), num + 2))
  low, centre, high = edges[:-2], edges[1:-1], edges[2:]
  hertz = np.linspace(0, rate / 2, fft_size // 2 + 1)[:, None]
  triangles = np.maximum(0, np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre)))
  return triangles * 2 / (high - low)


@functools.lru_cache(maxsize=8)
def kaldi_filters(rate: int, fft_size: int, num: int, low: float, high: float) -> np.ndarray:
  """Kaldi's triangles, which are straight in mel and not in Hz, of height 1: (F, M). Its mel is 1127 ln(1 + f/700).

  In float32 as Kaldi computes them: the narrow ones at low frequencies come out a ten-thousandth different in float64.
  """
  to_mel = lambda hertz: np.float32(1127) * np.log(1 + np.float32(hertz) / np.float32(700))
  step = (to_mel(high) - to_mel(low)) / np.float32(num + 1)
  edges = to_mel(low) + np.arange(num + 2, dtype=np.float32) * step
  mel = to_mel(np.arange(fft_size // 2 + 1) * (rate / fft_size))[:, None]
  rising, falling = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - mel) / (edges[2:] - edges[1:-1])
  filters = np.maximum(0, np.minimum(rising, falling))
  filters[-1] = 0  # Kaldi leaves the highest frequency out
  return filters


def periodic_hann(size: int) -> np.ndarray:
  return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def povey(size: int) -> np.ndarray:
  """Kaldi's window: a symmetric Hann window to the power 0.85, which does not reach 0 so slowly."""
  return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))) ** 0.85
