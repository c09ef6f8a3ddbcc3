"""Which training examples made an answer what it is.

`of_last_layer` is the influence function (Koh, Liang 2017) of the last layer's parameters, the rest of the network being given:
exact, for a linear last layer, to the second order of what retraining it without an example would change. `tracin` is TracIn
(Pruthi et al. 2020): the products of the gradients of two examples over the checkpoints of a run. Positive is helpful: without
the training example the loss of the explained one would be higher.

Neither takes the gradient of one training example: what is wanted is its product with a vector, which is the derivative of all
losses in the direction of that vector, one pass forward.

Shapes: B examples of a batch, N training examples, Q explained ones.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from research.interpretation.rewriting import NotThere, without_custom_vjp
from research.rules import paths

Loss = Callable[[Any, Any], jax.Array]  # (parameters, batch) -> the loss of each example (B,)


@dataclasses.dataclass(frozen=True)
class LastLayer:
  """What of a loss remains when all but the last layer's parameters is given.

  Attributes:
    known: batch -> the values that the rest is computed from.
    loss: (the layer's parameters, those values) -> the loss of each example.
  """

  known: Callable[[Any], list[jax.Array]]
  loss: Callable[[Any, list[jax.Array]], jax.Array]


def last_layer(loss: Loss, params: Any, batch: Any, layer: str) -> tuple[LastLayer, Any]:
  """Parts a loss before a layer, by its traced form: the layer's inputs are found without the network being asked for them.

  Args:
    loss: of each example.
    params: all parameters.
    batch: one batch; all have its shapes.
    layer: the path of the layer, as "head".

  Returns:
    What remains, and the layer's parameters by their paths.

  Raises:
    NotThere: the layer is one of a scanned stack: there is no linear layer at the end whose influence would be exact.
  """
  named = paths(params)
  own = {path: value for path, value in named.items() if f"{path}/".startswith(f"{layer}/")}
  assert own, f"{layer} names no parameter"
  rest = {path: value for path, value in named.items() if path not in own}
  treedef = jax.tree.structure(params)

  def whole(own, rest, batch):
    return loss(jax.tree.unflatten(treedef, [own[p] if p in own else rest[p] for p in named]), batch)

  closed = jax.make_jaxpr(without_custom_vjp(whole))(own, rest, batch)
  jaxpr, free = closed.jaxpr, set(closed.jaxpr.invars[:len(own)])
  if any(eqn.primitive.name in ("scan", "while") and free.intersection(v for v in eqn.invars if isinstance(v, core.Var))
         for eqn in jaxpr.eqns):
    raise NotThere(f"what is used last, {layer}, is no linear layer behind the others")
  late = []
  for eqn in jaxpr.eqns:
    if any(v in free for v in eqn.invars if isinstance(v, core.Var)):
      free |= set(eqn.outvars)
      late.append(eqn)
  late_ids = {id(eqn) for eqn in late}
  early = [eqn for eqn in jaxpr.eqns if id(eqn) not in late_ids]
  read = [v for eqn in late for v in eqn.invars if isinstance(v, core.Var) and v not in free]
  read = list(dict.fromkeys(v for v in (*read, *(v for v in jaxpr.outvars if isinstance(v, core.Var) and v not in free))))
  consts = dict(zip(jaxpr.constvars, closed.consts))

  def run(eqns, values, wanted):
    get = lambda v: v.val if isinstance(v, core.Literal) else values[v]
    for eqn in eqns:
      out = eqn.primitive.bind(*map(get, eqn.invars), **eqn.primitive.get_bind_params(eqn.params))
      values.update(zip(eqn.outvars, out if eqn.primitive.multiple_results else [out], strict=True))
    return [get(v) for v in wanted]

  given = jaxpr.invars[len(own):]
  known = jax.jit(lambda batch: run(early, {**consts, **dict(zip(given, jax.tree.leaves((rest, batch)), strict=True))}, read))
  remaining = lambda own, values: run(late, {**consts, **dict(zip(jaxpr.invars, jax.tree.leaves(own))),
                                             **dict(zip(read, values, strict=True))}, jaxpr.outvars)[0]
  return LastLayer(known, remaining), own


def of_last_layer(part: LastLayer, own: Any, train: Sequence[list[jax.Array]], explained: list[jax.Array], *, num: int,
                  damping: float, tolerance: float = 1e-6, max_steps: int = 300,
                  between: Callable[[int], None] = lambda step: None) -> tuple[np.ndarray, float]:
  """∇loss(explained)ᵀ (H + damping)⁻¹ ∇loss(training example) / N, H the Hessian of the mean training loss.

  Args:
    part, own: from `last_layer`.
    train: its `known` of every batch of training examples, none of them padding.
    explained: of the explained examples.
    num: how many are explained: the first ones.
    damping: what weight decay adds to H.
    tolerance: of the conjugate gradients, relative.
    max_steps: of them, at most.
    between: called before each of them with its number; may raise to break off.

  Returns:
    (Q, N), and the largest relative residual that is left.

  Raises:
    NotThere: H + damping is not positive, as it may be under CTC.
  """
  flat, unflatten = jax.flatten_util.ravel_pytree(own)
  of = lambda flat, values: part.loss(unflatten(flat), values)

  @jax.jit
  def products(vectors_QP, values):
    gradient = jax.grad(lambda w: of(w, values).sum())
    return jax.vmap(lambda v: jax.jvp(gradient, (flat,), (v,))[1])(vectors_QP)

  along = jax.jit(lambda vectors_QP, values: jax.vmap(lambda v: jax.jvp(lambda w: of(w, values), (flat,), (v,))[1])(vectors_QP))
  given = lambda vectors_QP: jnp.asarray(vectors_QP, flat.dtype)
  count = sum(values.shape[0] for values in (jax.eval_shape(of, flat, values) for values in train))
  # One conjugate gradient for each explained example, all in step, so that a pass over the training examples serves all.
  left_QP = np.asarray(jax.jit(jax.jacrev(lambda w: of(w, explained)[:num]))(flat), np.float64)
  solved_QP, towards_QP = np.zeros_like(left_QP), left_QP
  first_Q = size_Q = np.square(left_QP).sum(1)
  for step in range(max_steps):
    going_Q = size_Q > tolerance**2 * first_Q
    if not going_Q.any():
      break
    between(step)
    bent_QP = sum(np.asarray(products(given(towards_QP), values), np.float64) for values in train) / count
    bent_QP += damping * towards_QP
    bend_Q = (towards_QP * bent_QP).sum(1)
    if (bend_Q[going_Q] <= 0).any():
      raise NotThere("the loss is not convex in its weights, which are at no minimum")
    far_Q = np.divide(size_Q, bend_Q, out=np.zeros(num), where=going_Q)
    solved_QP, left_QP = solved_QP + far_Q[:, None] * towards_QP, left_QP - far_Q[:, None] * bent_QP
    size_Q, before_Q = np.square(left_QP).sum(1), size_Q
    towards_QP = left_QP + np.divide(size_Q, before_Q, out=np.zeros(num), where=going_Q)[:, None] * towards_QP
  rows_QN = np.concatenate([np.asarray(along(given(solved_QP), values)) for values in train], 1) / count
  return rows_QN, float(np.sqrt(size_Q / np.maximum(first_Q, 1e-300)).max())


def tracin(loss: Loss, checkpoints: Iterable[Any], train: Sequence[Any], explained: Any, *, num: int,
           between: Callable[[], None] = lambda: None) -> np.ndarray:
  """(Q, N): Σ over the checkpoints of ∇loss(explained)·∇loss(training example), every checkpoint counting alike.

  Args:
    loss: of each example.
    checkpoints: the parameters of each.
    train: batches, none of them with padding.
    explained: a batch.
    num: how many are explained: its first ones.
    between: called before each pass; may raise to break off.
  """
  loss = without_custom_vjp(loss)
  gradient = jax.jit(lambda params, q: jax.grad(lambda params: loss(params, explained)[q])(params))
  along = jax.jit(lambda params, v, batch: jax.jvp(lambda p: loss(p, batch), (params,), (v,))[1])
  total = None
  for params in checkpoints:
    rows = []
    for q in range(num):
      direction = gradient(params, q)
      parts = []
      for batch in train:
        between()
        parts.append(np.asarray(along(params, direction, batch)))
      rows.append(np.concatenate(parts))
    total = np.stack(rows) if total is None else total + np.stack(rows)
  assert total is not None, "no checkpoints"
  return total
