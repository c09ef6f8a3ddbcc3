"""Repeated layers: as a list, or stacked, so that they are compiled once and run by a scan.

A stacked module is an ordinary module each of whose arrays has the layer as its first dimension. Layer i has the same
initial values and the same random keys either way.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.nn.attention import ATTENTION
from research.nn.dropout import fold

Remat = Literal["none", "full", "dots"]


def create(build: Callable[[nnx.Rngs], nnx.Module], num_layers: int, *, stacked: bool, rngs: nnx.Rngs) -> nnx.Module:
  """Builds equal layers: a stacked module, or an nnx.List."""
  keys = jax.random.split(rngs.params(), num_layers)
  if not stacked:
    return nnx.List([build(nnx.Rngs(key)) for key in keys])
  definition, _ = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))))
  return nnx.merge(definition, jax.vmap(lambda key: nnx.state(build(nnx.Rngs(key))))(keys))


def run(layers: nnx.Module, x: jax.Array, *shared, each: tuple = (), key: jax.Array | None = None,
        remat: Remat = "none") -> jax.Array:
  """Applies `layer(x, *shared, *each, key=)` one after the other.

  Args:
    layers: as `create` made them.
    x: the first layer's input; each layer returns the same shape.
    *shared: what all layers see (masks).
    each: arrays whose first dimension is the layer; each layer sees its own row.
    key: layer i gets fold_in(key, i).
    remat: what the backward pass computes again: nothing ("none"), all but each layer's input ("full"), or all but
      the inputs, the products with weights and what attention gives ("dots").
  """
  if isinstance(layers, nnx.List):
    for i, layer in enumerate(layers):
      x, state = _rematerialized(_pure(layer), remat, prevent_cse=True)(
          x, nnx.state(layer), (*shared, *(rows[i] for rows in each)), fold(key, i))
      nnx.update(layer, state)
    return x
  apply = _rematerialized(_pure(layers), remat, prevent_cse=False)
  states = nnx.state(layers)
  num_layers = jax.tree.leaves(states)[0].shape[0]
  scanned = lambda x, at: apply(x, at[1], (*shared, *at[2]), fold(key, at[0]))
  x, states = jax.lax.scan(scanned, x, (jnp.arange(num_layers), states, each))
  nnx.update(layers, states)
  return x


def each(layers: nnx.Module, taken: Sequence[nnx.State] = ()) -> Sequence[Any]:
  """The layers one by one, as `create` made them; `taken` are their parameters where that was done before."""
  if isinstance(layers, nnx.List):
    return list(layers)
  definition, states = nnx.split(layers)
  num_layers = jax.tree.leaves(states)[0].shape[0]
  taken = taken or [jax.tree.map(lambda x, i=i: x[i], states) for i in range(num_layers)]
  return [nnx.merge(definition, state, copy=True) for state in taken]


def branch_factors(key: jax.Array | None, rate: float, *, num_layers: int, num_branches: int,
                   batch_size: int) -> tuple[jax.Array, ...]:
  """Stochastic depth of all layers: what each residual branch is multiplied by, for each example.

  0 with the layer's rate, else 1/(1 − rate), which keeps the mean. The rate grows linearly from 0 in the first layer to `rate`
  in the last (Huang et al. 2016).

  Returns:
    What `run` takes as `each`: one array (num_layers, num_branches, batch_size), or none without a key or a rate.
  """
  if key is None or not rate:
    return ()
  rates = jnp.linspace(0.0, rate, num_layers)[:, None, None]
  return (jax.random.bernoulli(key, 1 - rates, (num_layers, num_branches, batch_size)) / (1 - rates),)


def scaled(branch: jax.Array, factor_B: jax.Array) -> jax.Array:
  """Each example of a branch (B, ...) times its factor, in the branch's type."""
  return (branch * factor_B.reshape(-1, *[1] * (branch.ndim - 1))).astype(branch.dtype)


def _pure(layer: nnx.Module):
  """(x, state, shared, key) -> (output, what the layer itself has changed: its state without parameters)."""
  definition, _ = nnx.split(layer)

  def apply(x, state, shared, key):
    module = nnx.merge(definition, state, copy=True)
    y = module(x, *shared, key=key)
    return y, nnx.state(module, nnx.Not(nnx.Param))

  return apply


def _rematerialized(apply, remat: Remat, *, prevent_cse: bool):
  if remat == "none":
    return apply
  policies = jax.checkpoint_policies
  dots = policies.save_from_both_policies(
      policies.dots_with_no_batch_dims_saveable, policies.save_only_these_names(ATTENTION))
  policy = dots if remat == "dots" else None
  return jax.checkpoint(apply, policy=policy, prevent_cse=prevent_cse)
