"""A recurrent network that reads all states at once."""

import dataclasses
import functools

import jax
from flax import nnx

from research.nn.dense import Dense
from research.nn.gru import GRU
from research.nn.initializers import Init, parameter_dtype
from research.nn.recurrence import Bidirectional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A gated recurrent unit whose states at all times, side by side, go through a dense head.

  Attributes:
    width: units a direction.
    bidirectional: run backwards in time, too.
    init: initial weights.
  """

  width: int
  bidirectional: bool = True
  init: Init = "torch_uniform"

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Network":
    """The network for sequences (B, T) of numbers or (B, T, D) of vectors, of one length."""
    return Network(self, inputs, num_outputs, rngs)


class Network(nnx.Module):
  """Parameters: recurrence/..., head/kernel, head/bias."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    dtype = parameter_dtype(inputs.dtype)
    _, length, dim = inputs.shape if len(inputs.shape) == 3 else (*inputs.shape, 1)
    recurrence = functools.partial(Bidirectional, GRU) if config.bidirectional else GRU
    self.recurrence = recurrence(dim, config.width, init=config.init, dtype=dtype, rngs=rngs)
    num_states = length * config.width * (1 + config.bidirectional)
    self.head = Dense(num_states, num_outputs, init=config.init, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """x: (B, T) or (B, T, D). Returns (B, num_outputs). Nothing in it is random."""
    del key
    states_BTH = self.recurrence(x if x.ndim == 3 else x[..., None])
    return self.head(states_BTH.reshape(x.shape[0], -1))
