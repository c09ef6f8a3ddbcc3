"""Products of activations with weights, in forms whose gradients are fast."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from research.nn.dense import Dense


@jax.custom_jvp
def product(x_ND: jax.Array, w_DE: jax.Array) -> jax.Array:
  """x w.

  The gradient of w, xᵀ times (N, E), is slow on XLA:CPU unless its left side lies in memory as the product wants it: 64 against
  90 GFLOP/s at ViT-S's widths on an AMD EPYC 7003. So there, and only there, the narrower of the two is transposed before.
  """
  return x_ND @ w_DE


@functools.partial(product.defjvp, symbolic_zeros=True)
def _product_jvp(primals, tangents):
  # Going back, the derivative with respect to w is transposed, step by step, into the product that is wanted.
  (x, w), (dx, dw) = primals, tangents

  def along_w():
    if w.shape[0] <= w.shape[1]:
      return jax.lax.dot_general(_transposed(x, x), dw, (((0,), (0,)), ((), ())))
    return _transposed(_transposed(dw, x) @ x.T, x)

  # Not `product`: what is kept for the way back is told by the operation.
  return x @ w, added((dx, lambda: dx @ w), (dw, along_w))


def added(*parts: tuple[Any, Callable[[], jax.Array]]) -> jax.Array:
  """The sum of a derivative's parts, for a rule with symbolic zeros: a part whose tangent is none is not computed.

  So an explanation or a frozen layer, which has no gradient of the weights, does not pay for one.
  """
  return functools.reduce(jnp.add, [part() for tangent, part in parts if not isinstance(tangent, SymbolicZero)])


def _transposed(y, x):
  """yᵀ; on CPU in an operation of its own. x: decides about nothing."""
  # XLA fuses a transposition with what gives its input, and the loop that comes of it is up to 20 times slower; a barrier
  # does not last until then. It does not look into branches.
  apart = lambda y, x: jax.lax.cond(x[0, 0] > 0, jnp.transpose, jnp.transpose, y)
  return jax.lax.platform_dependent(y, x, cpu=apart, default=lambda y, x: y.T)


def dense(layer: Dense, x: jax.Array) -> jax.Array:
  """layer(x), with `product`."""
  y = product(x.reshape(-1, x.shape[-1]), layer.kernel[...].astype(x.dtype))
  if layer.bias is not None:
    y = y + layer.bias[...].astype(x.dtype)
  return y.reshape(*x.shape[:-1], y.shape[-1])
