"""Running a function with some of its operations replaced, from outside: its traced form (jaxpr) is interpreted anew."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

# Operations that only call another jaxpr. A custom derivative around what is replaced is left behind: another is wanted.
CALLS = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call")
_CHECKPOINTS = ("checkpoint", "remat2")


class NotThere(ValueError):
  """A function has nothing of what an explanation needs: no relu, no attention, no feature map."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rewriting:
  """What is replaced, and by what.

  Attributes:
    name: of what is replaced, for errors.
    wanted: jaxpr -> the positions of those of its own operations that are replaced.
    replace: (operation, its inputs, its outputs as they were) -> its outputs. Called once for each, in the program's order.
    unrolled: a scan or a checkpoint around one is run step by step as if written out, so that `replace` sees every step's
      values on one level of tracing; else it stays what it is.
  """

  name: str
  wanted: Callable[[Any], set[int]]
  replace: Callable[[Any, list[jax.Array], Callable[[], list[jax.Array]]], Sequence[jax.Array]]
  unrolled: bool = False

  def run(self, closed, args: Sequence[jax.Array]) -> list[jax.Array]:
    """Evaluates a closed jaxpr (or one without constants) operation by operation.

    Raises:
      ValueError: something to be replaced lies inside an operation that cannot be entered.
    """
    jaxpr = getattr(closed, "jaxpr", closed)
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, getattr(closed, "consts", ())))
    values.update(zip(jaxpr.invars, args, strict=True))
    read = lambda v: v.val if isinstance(v, core.Literal) else values[v]
    wanted = self.wanted(jaxpr)
    for position, eqn in enumerate(jaxpr.eqns):
      inputs = [read(v) for v in eqn.invars]
      if position in wanted:
        out = self.replace(eqn, inputs, lambda eqn=eqn, inputs=inputs: _bind(eqn, inputs))
      elif any(map(self.is_in, core.jaxprs_in_params(eqn.params))):
        out = self._enter(eqn, inputs)
      else:
        out = _bind(eqn, inputs)
      values.update(zip(eqn.outvars, out, strict=True))
    return [read(v) for v in jaxpr.outvars]

  def is_in(self, jaxpr) -> bool:
    """Whether there is something to replace."""
    return bool(self.wanted(jaxpr)) or any(
        self.is_in(inner) for eqn in jaxpr.eqns for inner in core.jaxprs_in_params(eqn.params))

  def _enter(self, eqn, inputs: list[jax.Array]) -> Sequence[jax.Array]:
    """Evaluates an operation that has something to replace inside."""
    name, params = eqn.primitive.name, eqn.params
    inside = lambda closed: lambda *args: self.run(closed, args)
    if name in CALLS:
      return inside(params["call_jaxpr" if "call_jaxpr" in params else "jaxpr"])(*inputs)
    if name in _CHECKPOINTS:
      run = inside(params["jaxpr"])
      return run(*inputs) if self.unrolled else jax.checkpoint(
          run, prevent_cse=params["prevent_cse"], policy=params["policy"])(*inputs)
    if name == "cond" and not self.unrolled:
      return jax.lax.switch(inputs[0], [inside(branch) for branch in params["branches"]], *inputs[1:])
    if name == "scan":
      return self._scan(params, inputs)
    raise ValueError(f"a {self.name} inside the operation {name} cannot be replaced")

  def _scan(self, params, inputs: list[jax.Array]) -> Sequence[jax.Array]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]

    def body(carry, x):
      out = self.run(params["jaxpr"], [*inputs[:first], *carry, *x])
      return out[:params["num_carry"]], out[params["num_carry"]:]

    if not self.unrolled:
      carry, outputs = jax.lax.scan(body, inputs[first:last], inputs[last:], length=params["length"],
                                    reverse=params["reverse"], unroll=params["unroll"])
      return [*carry, *outputs]
    carry, rows = inputs[first:last], []
    order = range(params["length"])
    for i in reversed(order) if params["reverse"] else order:
      carry, row = body(carry, [x[i] for x in inputs[last:]])
      rows.append(row)
    return [*carry, *(jnp.stack(column) for column in zip(*(rows[::-1] if params["reverse"] else rows)))]


def rewritten(function: Callable, rewriting: Rewriting) -> Callable:
  """`function`, of arrays, with a part replaced. Raises NotThere, when it is called, if there is no such part."""
  def run(*args):
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    if not rewriting.is_in(closed.jaxpr):
      raise NotThere(f"the function has no {rewriting.name} to replace")
    return jax.tree.unflatten(jax.tree.structure(shapes), rewriting.run(closed, jax.tree.leaves(args)))

  return run


def without_checkpoints(function: Callable) -> Callable:
  """`function`, of arrays, keeping for its backward pass what rematerialization would compute again."""
  return _inlined(function, _CHECKPOINTS, "jaxpr")


def without_custom_vjp(function: Callable) -> Callable:
  """`function`, of arrays, with its own derivative in the place of those that only go backwards: it can go forwards, too."""
  return _inlined(function, ("custom_vjp_call",), "call_jaxpr")


def _inlined(function: Callable, names: tuple[str, ...], inner: str) -> Callable:
  def run(*args):
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    wanted = lambda jaxpr: {i for i, eqn in enumerate(jaxpr.eqns) if eqn.primitive.name in names}
    inline = Rewriting(name=names[0], wanted=wanted, replace=lambda eqn, inputs, bind: inline.run(eqn.params[inner], inputs))
    return jax.tree.unflatten(jax.tree.structure(shapes), inline.run(closed, jax.tree.leaves(args)))

  return run


def replace_relu(function: Callable[[jax.Array], Any], relu: Callable[[jax.Array], jax.Array]):
  """Returns `function`, of one array, with `relu` in the place of each of its relus.

  A relu is any maximum of a floating-point array and the literal 0, wherever it is called from: jax.nn.relu, the lower
  half of jax.nn.relu6 and jnp.maximum(x, 0), under jit, remat, scan, cond and inside custom derivatives. A
  jnp.where(x > 0, x, 0) is not recognised.

  Raises (when the result is called):
    ValueError: there is none, or one lies inside an operation that cannot be entered.
  """
  def replace(eqn, inputs, outputs):
    del outputs
    return [relu(inputs[1] if isinstance(eqn.invars[0], core.Literal) else inputs[0])]

  wanted = lambda jaxpr: {i for i, eqn in enumerate(jaxpr.eqns) if _is_relu(eqn)}
  return rewritten(function, Rewriting(name="relu", wanted=wanted, replace=replace))


def _is_relu(eqn) -> bool:
  return eqn.primitive.name == "max" and jnp.issubdtype(eqn.outvars[0].aval.dtype, np.floating) and any(
      isinstance(v, core.Literal) and np.all(v.val == 0) for v in eqn.invars)


def _bind(eqn, inputs) -> list[jax.Array]:
  out = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
  return list(out) if eqn.primitive.multiple_results else [out]
