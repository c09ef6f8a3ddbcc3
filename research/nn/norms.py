"""Normalisation. Statistics are computed in float32 at least; the output has the type of the input."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

Norm = Literal["layer", "rms"]


def make_norm(norm: Norm, dim: int, *, eps: float | None = None, dtype) -> nnx.Module:
  """Either of the two that see one position only, with their own eps if none is given."""
  made = {"layer": LayerNorm, "rms": RMSNorm}[norm]
  return made(dim, dtype=dtype) if eps is None else made(dim, eps=eps, dtype=dtype)


class LayerNorm(nnx.Module):
  """(x − mean)/sqrt(variance + eps)·scale + bias over the last dimension (Ba, Kiros, Hinton 2016)."""

  def __init__(self, dim: int, *, eps: float = 1e-5, dtype=jnp.float32):
    self.eps = eps
    self.scale, self.bias = nnx.Param(jnp.ones(dim, dtype)), nnx.Param(jnp.zeros(dim, dtype))

  def __call__(self, x: jax.Array) -> jax.Array:
    wide = _wide(x)
    centred = wide - jnp.mean(wide, -1, keepdims=True)
    normal = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), -1, keepdims=True) + self.eps)
    return (normal * self.scale[...] + self.bias[...]).astype(x.dtype)


class RMSNorm(nnx.Module):
  """x/sqrt(mean of x² + eps)·scale over the last dimension (Zhang, Sennrich 2019)."""

  def __init__(self, dim: int, *, eps: float = 1e-6, dtype=jnp.float32):
    self.eps = eps
    self.scale = nnx.Param(jnp.ones(dim, dtype))

  def __call__(self, x: jax.Array) -> jax.Array:
    wide = _wide(x)
    normal = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), -1, keepdims=True) + self.eps)
    return (normal * self.scale[...]).astype(x.dtype)


class BatchNorm(nnx.Module):
  """Normalises each channel over the batch in training, by running statistics at inference (Ioffe, Szegedy 2015).

  The running variance is of the unbiased estimate, as in the paper's algorithm 2. `scale`: whether channels have one, or a bias
  alone. `frozen`: the running statistics are used in training too, and stay.
  """

  def __init__(self, dim: int, *, eps: float = 1e-5, decay: float = 0.9, scale: bool = True, frozen: bool = False,
               dtype=jnp.float32):
    self.eps, self.decay, self.frozen = eps, decay, frozen
    self.scale = nnx.Param(jnp.ones(dim, dtype)) if scale else None
    self.bias = nnx.Param(jnp.zeros(dim, dtype))
    self.mean, self.variance = nnx.BatchStat(jnp.zeros(dim, dtype)), nnx.BatchStat(jnp.ones(dim, dtype))

  def __call__(self, x: jax.Array, *, mask: jax.Array | None = None, key: jax.Array | None = None) -> jax.Array:
    """x: (B, ..., dim). A key, though nothing is drawn, means training: the batch's statistics are used and noted.

    mask: (B, ...), True where there is no padding, which has no part in the statistics.
    """
    wide = _wide(x)
    mean, variance = self.mean[...], self.variance[...]
    if key is not None and not self.frozen:
      where = None if mask is None else mask[..., None]
      dims = tuple(range(x.ndim - 1))
      mean = jnp.mean(wide, dims, where=where)
      # jnp.var would take the mean, and its gradient, once more.
      variance = jnp.mean(jnp.square(wide - mean), dims, where=where)
      count = x.size // x.shape[-1] if mask is None else jnp.sum(mask)
      self._note(self.mean, mean)
      self._note(self.variance, variance * (count / jnp.maximum(count - 1, 1)))
    factor = jax.lax.rsqrt(variance + self.eps)
    if self.scale is not None:
      factor = self.scale[...] * factor
    return ((wide - mean) * factor + self.bias[...]).astype(x.dtype)

  def _note(self, running: nnx.BatchStat, new: jax.Array) -> None:
    old = running[...]
    running[...] = (self.decay * old + (1 - self.decay) * new).astype(old.dtype)


def _wide(x):
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))
