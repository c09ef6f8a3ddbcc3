"""What recurrent layers share: running over time, with padding, from any state.

Shapes: B examples, T steps, D inputs, H units, G entries of all gates.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.dense import Dense
from research.nn.initializers import Init

State = tuple[jax.Array, ...]  # (B, H) each; the first is what the layer gives


class Recurrence(nnx.Module):
  """One direction over time. Kernels hold all gates side by side; at first they are PyTorch's, ±1/sqrt(width), unless said."""

  num_gates: int
  num_states: int

  def __init__(self, num_inputs: int, width: int, *, reverse: bool = False, init: Init = "torch_uniform",
               dtype=jnp.float32, rngs: nnx.Rngs):
    self.width, self.reverse = width, reverse
    fan_in = width if init == "torch_uniform" else num_inputs
    self.inputs = Dense(num_inputs, self.num_gates * width, init=init, fan_in=fan_in, dtype=dtype, rngs=rngs)
    self.recurrent = Dense(width, self.num_gates * width, init=init, dtype=dtype, rngs=rngs)

  def advance(self, state: State, gates_BG: jax.Array) -> State:
    """The state after a step whose inputs gave these gates."""
    raise TypeError(f"{type(self).__name__} defines no advance")

  def zero(self, num_rows: int, dtype) -> State:
    """The state before the first step."""
    return (jnp.zeros((num_rows, self.width), dtype),) * self.num_states

  def run(self, x_BTD: jax.Array, mask_BT: jax.Array | None = None, state: State | None = None) -> tuple[jax.Array, State]:
    """All outputs (B, T, H) and the state after the last step. Where the mask is 0, the state stays as it is."""
    gates_TBG = jnp.swapaxes(self.inputs(x_BTD), 0, 1)
    mask_TB1 = None if mask_BT is None else jnp.swapaxes(mask_BT, 0, 1)[..., None] > 0
    start = self.zero(x_BTD.shape[0], x_BTD.dtype) if state is None else state

    def step(state, at):
      gates, mask = at
      new = self.advance(state, gates)
      state = new if mask is None else tuple(jnp.where(mask, n, s) for n, s in zip(new, state))
      return state, state[0]

    last, outputs_TBH = jax.lax.scan(step, start, (gates_TBG, mask_TB1), reverse=self.reverse)
    return jnp.swapaxes(outputs_TBH, 0, 1), last

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
    """All outputs (B, T, H)."""
    return self.run(x_BTD, mask_BT)[0]


class Bidirectional(nnx.Module):
  """Both directions of a kind of recurrence, side by side."""

  def __init__(self, cell: type[Recurrence], num_inputs: int, width: int, *, init: Init = "torch_uniform", dtype=jnp.float32,
               rngs: nnx.Rngs):
    self.forward = cell(num_inputs, width, init=init, dtype=dtype, rngs=rngs)
    self.backward = cell(num_inputs, width, reverse=True, init=init, dtype=dtype, rngs=rngs)

  def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
    """Returns all states (B, T, 2H)."""
    return jnp.concatenate([self.forward(x_BTD, mask_BT), self.backward(x_BTD, mask_BT)], -1)
