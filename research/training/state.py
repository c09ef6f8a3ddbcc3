"""Everything that a training step reads and writes, and what a checkpoint holds."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

Tree = Any  # nested dictionaries of arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """The state of a run between two steps.

  Attributes:
    step: updates done, int32.
    key: the run's random key; step k draws from fold_in(key, k).
    params: what the optimizer changes.
    buffers: the network's other variables (running statistics of batch normalisation).
    optimizer: Optax's state.
    average: exponential moving average of `params`, or None.
    window: sums since the last log line: a metric's name to its (k,) sums; and the two entries of `Health`.
  """

  step: jax.Array
  key: jax.Array
  params: Tree
  buffers: Tree
  optimizer: Any
  average: Tree | None
  window: dict[str, jax.Array]


def split(model: nnx.Module) -> tuple[Any, Tree, Tree]:
  """Splits a network into its definition, its parameters and its other variables, the latter two as plain trees."""
  definition, params, buffers = nnx.split(model, nnx.Param, ...)
  return definition, nnx.to_pure_dict(params), nnx.to_pure_dict(buffers)


def merge(definition, params: Tree, buffers: Tree) -> nnx.Module:
  """The network again; a copy, so that it may be changed inside any jax transformation."""
  return nnx.merge(definition, params, buffers, copy=True)


def create(build, optimizer: optax.GradientTransformation, key: jax.Array, *, averaged: bool,
           window: dict[str, int]) -> TrainState:
  """A fresh state. Traceable, so that it can be made sharded under jit, or abstractly.

  Args:
    build: rngs to network.
    optimizer: as built for these parameters.
    key: the run's key.
    averaged: keep a moving average of the parameters.
    window: each metric's name and its number of sums.
  """
  init_key, run_key = jax.random.split(key)
  _, params, buffers = split(build(nnx.Rngs(init_key)))
  return TrainState(
      step=jnp.zeros((), jnp.int32),
      key=run_key,
      params=params,
      buffers=buffers,
      optimizer=optimizer.init(params),
      average=jax.tree.map(jnp.copy, params) if averaged else None,
      window=fresh_window(window),
  )


def fresh_window(widths: dict[str, int]) -> dict[str, jax.Array]:
  """Sums of zero; `first_bad` holds (step, parameter) of the first value that was not finite, -1 before there is one."""
  sums = {name: jnp.zeros(width) for name, width in widths.items()}
  return {**sums, "grad_norm": jnp.zeros(2), "first_bad": jnp.full(2, -1, jnp.int32)}
