"""Noise that is on in training only: there is a key, or there is None and everything passes."""

import jax
import jax.numpy as jnp


def fold(key: jax.Array | None, index: int | jax.Array) -> jax.Array | None:
  """The key of one layer or one use; None stays None."""
  return None if key is None else jax.random.fold_in(key, index)


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
  """Sets each entry to zero with probability `rate`, the others to x/(1−rate) (Srivastava et al. 2014)."""
  return _drop(x, x.shape, rate, key)


def stochastic_depth(branch: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
  """Drops a residual branch (B, ...) for whole examples, scaled to keep its mean (Huang et al. 2016)."""
  return _drop(branch, (branch.shape[0],) + (1,) * (branch.ndim - 1), rate, key)


def _drop(x, mask_shape, rate, key):
  if key is None or rate == 0:
    return x
  # 16 random bits decide about an entry, half of what jax.random.bernoulli draws: the rate is one of 65,536.
  *sizes, last = mask_shape
  pairs = jax.random.bits(key, (*sizes, -(-last // 2)), jnp.uint32)
  numbers = jax.lax.bitcast_convert_type(pairs, jnp.uint16).reshape(*sizes, -1)[..., :last]
  threshold = max(1, min(round(rate * 2**16), 2**16 - 1))
  return jnp.where(numbers >= threshold, x / (1 - threshold / 2**16), jnp.zeros((), x.dtype))
