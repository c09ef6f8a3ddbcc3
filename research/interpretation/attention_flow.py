"""What a Transformer's answer comes from, by its attention: rollout, and attention weighted by its gradient.

Every softmax over keys in the traced score is attention, in whatever layer, scanned or not, and its gradient is taken where it
stands; the network is not prepared for it. Which positions attend to which is told by their number: those of the source, those
of the target, those of the patches must therefore differ.

Shapes: B examples, H heads, T queries, S keys, N positions of the input.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.extend import core

from research.interpretation.rewriting import NotThere, Rewriting


@dataclasses.dataclass(frozen=True)
class Attention:
  """Of one layer.

  Attributes:
    weights_BHTS: from query to key.
    gradients_BHTS: of the score by each of them.
  """

  weights_BHTS: jax.Array
  gradients_BHTS: jax.Array


def attention_of(score, x: jax.Array) -> list[Attention]:
  """The attention of all layers, in the order in which they run.

  Raises:
    NotThere: the score has none that can be seen (fused kernels and chunks hold no weights).
  """
  closed = jax.make_jaxpr(score)(x)
  if not ATTENTION.is_in(closed.jaxpr):
    raise NotThere("the network has no attention weights")
  found: list[jax.Array] = []

  def run(x, deltas):
    def replace(eqn, inputs, bind):
      del eqn, inputs
      found.append(bind()[0])
      return [found[-1] if deltas is None else found[-1] + deltas[len(found) - 1]]

    scores = dataclasses.replace(ATTENTION, replace=replace).run(closed, [x])[0]
    weights = list(found)
    found.clear()
    return scores.sum(), weights

  shapes = jax.eval_shape(lambda x: run(x, None)[1], x)
  zeros = [jnp.zeros(s.shape, s.dtype) for s in shapes]
  gradients, weights = jax.grad(lambda deltas: run(x, deltas), has_aux=True)(zeros)
  return [Attention(*pair) for pair in zip(weights, gradients, strict=True)]


def rollout(layers: list[Attention], lengths: tuple[int, ...]) -> jax.Array:
  """Attention followed through the layers, the residual being half of each (Abnar, Zuidema 2020).

  Args:
    layers: from `attention_of`.
    lengths: of the texts that the input consists of; () where it is one of other things, such as patches.

  Returns:
    (B, N): the share of each position in the rows that the answer is read from.
  """
  return _flow(layers, lengths, lambda old, seen: (old + seen) / 2, lambda its: its.weights_BHTS)


def gradient_weighted(layers: list[Attention], lengths: tuple[int, ...]) -> jax.Array:
  """R + Ā R through the layers, Ā the heads' mean of what of attention times its gradient is positive (Chefer et al. 2021)."""
  return _flow(layers, lengths, lambda old, seen: old + seen, lambda its: jax.nn.relu(its.weights_BHTS * its.gradients_BHTS),
               without_start=True)


def _flow(layers, lengths, join, weigh, *, without_start: bool = False) -> jax.Array:
  if len(set(lengths)) < len(lengths):
    raise NotThere(f"texts of equal lengths, {lengths}, cannot be told apart by their attention")
  lengths = lengths or layers[0].weights_BHTS.shape[3:]
  starts = [sum(lengths[:i]) for i in range(len(lengths))]
  of = {n: jnp.eye(n, sum(lengths), start) for n, start in zip(lengths, starts)}
  begin = dict(of)
  for its in layers:
    its = _by_heads(its, of)
    mean_BTS = weigh(its).mean(1)
    _, queries, keys = mean_BTS.shape
    if keys not in of:
      raise NotThere(f"attention to {keys} positions, which are none of the input's")
    old = of.get(queries, jnp.zeros((queries, sum(lengths))))
    of[queries] = join(old, mean_BTS @ of[keys])
  # The answer is read where the last layer's attention matters.
  last = _by_heads(layers[-1], of)
  read_BT = jnp.abs(last.gradients_BHTS).sum((1, 3))
  read_BT = read_BT / jnp.maximum(read_BT.sum(1, keepdims=True), jnp.finfo(read_BT.dtype).tiny)
  flow = of[read_BT.shape[1]] - (begin.get(read_BT.shape[1], 0) if without_start else 0)
  return jnp.einsum("bt,btn->bn", read_BT, jnp.broadcast_to(flow, (len(read_BT), *flow.shape[-2:])))


def _by_heads(its: Attention, of) -> Attention:
  """Queries that share keys are rows of one head (see research.nn.attention): made heads of their own again."""
  batch, _, queries, keys = its.weights_BHTS.shape
  if queries in of or keys not in of or queries % keys:
    return its
  return Attention(*(x.reshape(batch, -1, keys, keys) for x in (its.weights_BHTS, its.gradients_BHTS)))


def _softmaxes(jaxpr) -> set[int]:
  """Positions of e / Σ e over the last of four dimensions, e an exponential."""
  by = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
  maker = lambda v: None if isinstance(v, core.Literal) else by.get(v)
  found = set()
  for i, eqn in enumerate(jaxpr.eqns):
    if eqn.primitive.name != "div" or eqn.outvars[0].aval.ndim != 4:
      continue
    above, below = map(maker, eqn.invars)
    while below is not None and below.primitive.name in ("broadcast_in_dim", "reshape"):
      below = maker(below.invars[0])
    if (above is not None and above.primitive.name == "exp" and below is not None and below.primitive.name == "reduce_sum"
        and below.invars[0] is eqn.invars[0] and tuple(below.params["axes"]) == (3,)):
      found.add(i)
  return found


ATTENTION = Rewriting(name="attention", wanted=_softmaxes, replace=lambda eqn, inputs, bind: bind(), unrolled=True)
