"""The dense layer."""

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.initializers import Init, initialize, initialize_bias


class Dense(nnx.Module):
  """y = x W + b over the last dimension; computes in the type of x.

  `scale` is a factor on W's initial values; `fan_in` is what they are drawn for, if not the number of inputs.
  """

  def __init__(self, num_inputs: int, num_outputs: int, *, bias: bool = True, init: Init = "lecun_normal",
               scale: float = 1.0, fan_in: int | None = None, dtype=jnp.float32, rngs: nnx.Rngs):
    fan_in = num_inputs if fan_in is None else fan_in
    shape = (num_inputs, num_outputs)
    self.kernel = nnx.Param(initialize(
        init, rngs.params(), shape, dtype, fan_in=fan_in, fan_out=num_outputs, scale=scale))
    values = initialize_bias(init, rngs.params(), (num_outputs,), dtype, fan_in=fan_in)
    self.bias = nnx.Param(values) if bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    """x: (..., num_inputs). Returns (..., num_outputs)."""
    flat = x.reshape(-1, x.shape[-1])  # XLA's weight gradient is faster for matrices than for batches of them
    y = flat @ self.kernel[...].astype(x.dtype)
    if self.bias is not None:
      y = y + self.bias[...].astype(x.dtype)
    return y.reshape(*x.shape[:-1], y.shape[-1])
