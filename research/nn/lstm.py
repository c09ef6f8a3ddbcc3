"""Long short-term memory (Hochreiter, Schmidhuber 1997; with a forget gate, Gers et al. 2000), with PyTorch's two biases.

  i, f, o = σ(x W + h U + …), g = tanh(x Wg + h Ug + …), c ← f·c + i·g, h ← o·tanh(c)

Kernels hold the four gates side by side, in the order i, f, g, o.
"""

import jax
import jax.numpy as jnp

from research.nn.recurrence import Recurrence


class LSTM(Recurrence):
  """One direction over time. Its state is (h, c)."""

  num_gates, num_states = 4, 2

  def advance(self, state, gates_BG):
    h, c = state
    i, f, g, o = jnp.split(gates_BG + self.recurrent(h), 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c
