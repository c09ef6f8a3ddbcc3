"""Gated recurrent units (Cho et al. 2014), with PyTorch's gates: the reset gate acts after the recurrent product.

  r = σ(x Wr + h Ur + …), z = σ(x Wz + h Uz + …), n = tanh(x Wn + bn + r·(h Un + cn)), h ← (1 − z)·n + z·h

Kernels hold the three gates side by side, in the order r, z, n. Shapes: B examples, T steps, D inputs, H units.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.dense import Dense
from research.nn.initializers import Init


class GRU(nnx.Module):
  """One direction over time."""

  def __init__(self, num_inputs: int, width: int, *, reverse: bool = False, init: Init = "torch_uniform",
               dtype=jnp.float32, rngs: nnx.Rngs):
    self.width, self.reverse = width, reverse
    fan_in = width if init == "torch_uniform" else num_inputs  # PyTorch draws all of it from ±1/sqrt(width)
    self.inputs = Dense(num_inputs, 3 * width, init=init, fan_in=fan_in, dtype=dtype, rngs=rngs)
    self.recurrent = Dense(width, 3 * width, init=init, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
    """Returns all states (B, T, H). Where the mask is 0, the state stays as it is."""
    gates_TBG = jnp.swapaxes(self.inputs(x_BTD), 0, 1)
    mask_TB1 = None if mask_BT is None else jnp.swapaxes(mask_BT, 0, 1)[..., None] > 0
    start_BH = jnp.zeros((x_BTD.shape[0], self.width), x_BTD.dtype)

    def step(h, at):
      gates, mask = at
      xr, xz, xn = jnp.split(gates, 3, -1)
      hr, hz, hn = jnp.split(self.recurrent(h), 3, -1)
      r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
      new = (1 - z) * jnp.tanh(xn + r * hn) + z * h
      h = new if mask is None else jnp.where(mask, new, h)
      return h, h

    _, states_TBH = jax.lax.scan(step, start_BH, (gates_TBG, mask_TB1), reverse=self.reverse)
    return jnp.swapaxes(states_TBH, 0, 1)


class BiGRU(nnx.Module):
  """Both directions, side by side."""

  def __init__(self, num_inputs: int, width: int, *, init: Init = "torch_uniform", dtype=jnp.float32, rngs: nnx.Rngs):
    self.forward = GRU(num_inputs, width, init=init, dtype=dtype, rngs=rngs)
    self.backward = GRU(num_inputs, width, reverse=True, init=init, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
    """Returns all states (B, T, 2H)."""
    return jnp.concatenate([self.forward(x_BTD, mask_BT), self.backward(x_BTD, mask_BT)], -1)
