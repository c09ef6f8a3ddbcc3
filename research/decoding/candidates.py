"""The few best of many scores, and draws from them, without sorting a vocabulary.

Sorting or scanning 50,000 scores a row costs more than a small model's step. All here is done in two levels: a pass over blocks
of the row, which compiles to plain vector code, then work on the few blocks that matter.

Shapes: R rows, V scores a row, G blocks, L length of a block, K best.
"""

import jax
import jax.numpy as jnp

_LENGTH = 128  # of a block


def _per_block(x_RV, reduce):
  """(R, G): each block's sum or maximum. The last block may be shorter."""
  whole = x_RV.shape[1] // _LENGTH * _LENGTH
  blocks_RG = reduce(x_RV[:, :whole].reshape(x_RV.shape[0], -1, _LENGTH), axis=-1)
  rest_R1 = [reduce(x_RV[:, whole:], axis=-1, keepdims=True)] if whole < x_RV.shape[1] else []
  return jnp.concatenate([blocks_RG, *rest_R1], -1)


def _elements(blocks_RK, num_scores):
  """(R, K, L): the columns in these blocks. The last block is filled up with columns of the one before."""
  first_RK1 = jnp.minimum(blocks_RK * _LENGTH, num_scores - _LENGTH)[..., None]
  return first_RK1 + jnp.arange(_LENGTH)


def top_k(x_RV: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """The k largest scores of each row in falling order and their columns, as `jax.lax.top_k`: of equal ones the first.

  The k largest lie within the k blocks of the largest maxima.
  """
  num_rows, num_scores = x_RV.shape
  if num_scores <= k * _LENGTH:
    return _top_k(x_RV, k)
  blocks_RK = jnp.sort(_top_k(_per_block(x_RV, jnp.max), k)[1], -1)
  columns_RKL = _elements(blocks_RK, num_scores)
  mine_RKL = columns_RKL >= blocks_RK[..., None] * _LENGTH
  flat = lambda a_RKL: a_RKL.reshape(num_rows, -1)
  found_RM = jnp.take_along_axis(x_RV, flat(columns_RKL), 1, mode="promise_in_bounds")
  values_RK, at_RK = _top_k(jnp.where(flat(mine_RKL), found_RM, -jnp.inf), k)
  return values_RK, jnp.take_along_axis(flat(columns_RKL), at_RK, 1)


def _top_k(x_RM, k):
  # Without barriers XLA joins a slice of a result to the operation, no longer knows it, and sorts all. One for both results
  # becomes a user of the operation itself, which XLA's compiler does not expect and ends the process.
  values_RK, at_RK = jax.lax.top_k(x_RM, k)
  return jax.lax.optimization_barrier(values_RK), jax.lax.optimization_barrier(at_RK)


def argmax(x_RV: jax.Array) -> jax.Array:
  """The column of each row's largest score, the first of equal ones."""
  return top_k(x_RV, 1)[1][:, 0]


def nucleus(weights_RV: jax.Array, share: float | jax.Array) -> jax.Array:
  """True for the fewest of the largest weights (of equal ones all) that sum to at least this share (one, or (R,)); weights are
  from 0 to 1.

  Of numbers that are not negative the order is that of their bits: thirty halvings find the largest value above which there is
  at least that share.
  """
  wanted_R = share * weights_RV.sum(-1)
  number = lambda bits_R: jax.lax.bitcast_convert_type(bits_R, jnp.float32)[:, None]
  above = lambda bits_R: jnp.where(weights_RV > number(bits_R), weights_RV, 0).sum(-1)

  def halve(_, bounds):
    low_R, high_R = bounds
    middle_R = (low_R + high_R) // 2
    enough_R = above(middle_R) >= wanted_R
    return jnp.where(enough_R, middle_R, low_R), jnp.where(enough_R, high_R, middle_R)

  # From the bits of 0.0, above which is all, to those of 1.0, above which is nothing.
  bounds = jnp.zeros(weights_RV.shape[0], jnp.int32), jnp.full(weights_RV.shape[0], 0x3F800000, jnp.int32)
  return weights_RV >= number(jax.lax.fori_loop(0, 30, halve, bounds)[1])


def draw(weights_RV: jax.Array, uniform_R: jax.Array) -> jax.Array:
  """A column of each row, drawn in proportion to the weights by one number from [0, 1) (inverse distribution function)."""
  if weights_RV.shape[1] <= _LENGTH:
    return _draw(weights_RV, uniform_R * weights_RV.sum(-1))[0]
  sums_RG = _per_block(weights_RV, jnp.sum)
  blocks_R, left_R = _draw(sums_RG, uniform_R * sums_RG.sum(-1))
  columns_RL = _elements(blocks_R, weights_RV.shape[1])
  own_RL = jnp.where(columns_RL >= blocks_R[:, None] * _LENGTH, jnp.take_along_axis(weights_RV, columns_RL, 1), 0)
  return jnp.take_along_axis(columns_RL, _draw(own_RL, left_R)[0][:, None], 1)[:, 0]


def _draw(weights_RM, target_R):
  """The first column where the running sum passes the target, and how far the target lies within it."""
  sums_RM = jnp.cumsum(weights_RM, -1)
  # Rounding must not carry the target past the last weight that is not zero.
  target_R = jnp.minimum(target_R, jnp.nextafter(sums_RM[:, -1], 0.0))
  at_R = jnp.sum(sums_RM <= target_R[:, None], -1)
  before_R = jnp.where(at_R > 0, jnp.take_along_axis(sums_RM, jnp.maximum(at_R - 1, 0)[:, None], 1)[:, 0], 0)
  return at_R, target_R - before_R
