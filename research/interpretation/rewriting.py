"""Running a function with one of its operations replaced, from outside: its traced form (jaxpr) is interpreted anew."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

# Operations that only call another jaxpr. A custom derivative around a relu is left behind, for a new one is wanted.
_CALLS = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call")
_CHECKPOINTS = ("checkpoint", "remat2")


def replace_relu(function: Callable[[jax.Array], Any], relu: Callable[[jax.Array], jax.Array]):
  """Returns `function`, of one array, with `relu` in the place of each of its relus.

  A relu is any maximum of a floating-point array and the literal 0, wherever it is called from: jax.nn.relu, the lower
  half of jax.nn.relu6 and jnp.maximum(x, 0), under jit, remat, scan, cond and inside custom derivatives. A
  jnp.where(x > 0, x, 0) is not recognised.

  Raises (when the result is called):
    ValueError: there is none, or one lies inside an operation that cannot be entered.
  """
  def rewritten(x):
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(x)
    if not _has_relu(closed.jaxpr):
      raise ValueError("the function has no relu, max(x, 0), to replace")
    return jax.tree.unflatten(jax.tree.structure(shapes), _run(closed, [x], relu))

  return rewritten


def _is_relu(eqn) -> bool:
  return eqn.primitive.name == "max" and jnp.issubdtype(eqn.outvars[0].aval.dtype, np.floating) and any(
      isinstance(v, core.Literal) and np.all(v.val == 0) for v in eqn.invars)


def _has_relu(jaxpr) -> bool:
  return any(_is_relu(eqn) or any(map(_has_relu, core.jaxprs_in_params(eqn.params))) for eqn in jaxpr.eqns)


def _run(closed, args: Sequence[jax.Array], relu) -> list[jax.Array]:
  """Evaluates a closed jaxpr (or one without constants) operation by operation."""
  jaxpr = getattr(closed, "jaxpr", closed)
  values: dict[Any, Any] = dict(zip(jaxpr.constvars, getattr(closed, "consts", ())))
  values.update(zip(jaxpr.invars, args, strict=True))
  read = lambda v: v.val if isinstance(v, core.Literal) else values[v]
  for eqn in jaxpr.eqns:
    inputs = [read(v) for v in eqn.invars]
    if _is_relu(eqn):
      is_zero = isinstance(eqn.invars[0], core.Literal)
      out = [relu(inputs[1] if is_zero else inputs[0])]
    elif any(map(_has_relu, core.jaxprs_in_params(eqn.params))):
      out = _enter(eqn, inputs, relu)
    else:
      out = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
      out = out if eqn.primitive.multiple_results else [out]
    values.update(zip(eqn.outvars, out, strict=True))
  return [read(v) for v in jaxpr.outvars]


def _enter(eqn, inputs: list[jax.Array], relu) -> Sequence[jax.Array]:
  """Evaluates an operation that has a relu inside."""
  name, params = eqn.primitive.name, eqn.params
  inside = lambda closed: lambda *args: _run(closed, args, relu)
  if name in _CALLS:
    return inside(params["call_jaxpr" if "call_jaxpr" in params else "jaxpr"])(*inputs)
  if name in _CHECKPOINTS:
    return jax.checkpoint(inside(params["jaxpr"]), prevent_cse=params["prevent_cse"], policy=params["policy"])(*inputs)
  if name == "cond":
    return jax.lax.switch(inputs[0], [inside(branch) for branch in params["branches"]], *inputs[1:])
  if name == "scan":
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]

    def body(carry, x):
      out = inside(params["jaxpr"])(*inputs[:first], *carry, *x)
      return out[:params["num_carry"]], out[params["num_carry"]:]

    carry, outputs = jax.lax.scan(body, inputs[first:last], inputs[last:], length=params["length"],
                                  reverse=params["reverse"], unroll=params["unroll"])
    return [*carry, *outputs]
  raise ValueError(f"a relu inside the operation {name} cannot be replaced")
