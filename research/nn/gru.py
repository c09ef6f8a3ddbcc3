"""Gated recurrent units (Cho et al. 2014), with PyTorch's gates: the reset gate acts after the recurrent product.

  r = σ(x Wr + h Ur + …), z = σ(x Wz + h Uz + …), n = tanh(x Wn + bn + r·(h Un + cn)), h ← (1 − z)·n + z·h

Kernels hold the three gates side by side, in the order r, z, n. Shapes: B examples, T steps, D inputs, H units.
"""

import jax
import jax.numpy as jnp

from research.nn.recurrence import Recurrence


class GRU(Recurrence):
  """One direction over time."""

  num_gates, num_states = 3, 1

  def advance(self, state, gates_BG):
    h, = state
    xr, xz, xn = jnp.split(gates_BG, 3, -1)
    hr, hz, hn = jnp.split(self.recurrent(h), 3, -1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    return ((1 - z) * jnp.tanh(xn + r * hn) + z * h,)
