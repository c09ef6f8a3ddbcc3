"""How much memory a function takes, from its traced form: before it is compiled, and for any number of examples."""

import math
from collections.abc import Callable

import jax
from jax.extend import core


def peak_bytes(jaxpr) -> int:
  """The most bytes that live at once while a jaxpr is evaluated in its order, each operation writing to memory of its own.

  What is given (inputs and constants) does not count; what is returned does. A compiler that fuses operations needs less.
  """
  last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if isinstance(v, core.Var)}
  last |= {v: len(jaxpr.eqns) for v in jaxpr.outvars if isinstance(v, core.Var)}
  alive, held, peak = {}, 0, 0
  for i, eqn in enumerate(jaxpr.eqns):
    inside = max((peak_bytes(inner) for inner in core.jaxprs_in_params(eqn.params)), default=0)
    made = {v: _size(v) for v in eqn.outvars}
    held += sum(made.values())
    # What an inner jaxpr returns is what the operation gives, but for a scan, which stacks it.
    extra = inside if eqn.primitive.name == "scan" else max(inside - sum(made.values()), 0)
    peak = max(peak, held + extra)
    alive |= made
    for v in {*eqn.outvars, *(v for v in eqn.invars if isinstance(v, core.Var))}:
      if last.get(v, -1) <= i:
        held -= alive.pop(v, 0)
  return peak


def bytes_of(function: Callable, num: int, x: jax.Array) -> int:
  """The peak of `function` on an array with num times as many examples as x (B, ...)."""
  batch = jax.ShapeDtypeStruct((num * x.shape[0], *x.shape[1:]), x.dtype)
  return peak_bytes(jax.make_jaxpr(function)(batch).jaxpr) + math.prod(batch.shape) * batch.dtype.itemsize


def copies_within(function: Callable, x: jax.Array, budget: int, at_most: int) -> int:
  """How many copies of the batch x (B, ...) `function` can be given at once within so many bytes; at least 1."""
  one, two = bytes_of(function, 1, x), bytes_of(function, 2, x)
  copies = max(1, min(at_most, 1 + (budget - one) // max(two - one, 1)))
  while copies > 1 and (needed := bytes_of(function, copies, x)) > budget:  # what little grows slowly at first
    copies = max(1, min(copies - 1, copies * budget // needed))
  return copies


def _size(v) -> int:
  aval = v.aval
  return math.prod(aval.shape) * aval.dtype.itemsize if hasattr(aval, "shape") and hasattr(aval.dtype, "itemsize") else 0
