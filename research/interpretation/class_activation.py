"""Grad-CAM (Selvaraju et al. 2017): where in its last feature map a convolutional network finds what it answers.

The map is found in the traced score: the last value that has the input's places, coarser or not, as its middle dimensions.

Shapes: B examples, h w places of the map, C channels.
"""

from typing import Any

import jax
import jax.numpy as jnp

from research.interpretation.attention_flow import ATTENTION
from research.interpretation.rewriting import NotThere, Rewriting

_CALLS = ("jit", "pjit", "closed_call")  # without custom derivatives: what these hold inside is no layer's output


def grad_cam(score, x: jax.Array, views: int = 1) -> jax.Array:
  """relu(Σ_C α_C A_C), α the mean of the score's gradient by the map A over its places (equations 1 and 2).

  Args:
    score: (N, ...) to (N,).
    x: images (B, H, W, C), or spectrograms (B, T, F).
    views: how many images x has below each other, which the score runs as images of their own.

  Returns:
    (B, h, w), or (B, t, f); of each view one.

  Raises:
    NotThere: the score has no feature map: dense layers, recurrent ones, attention, which no place belongs to for good.
  """
  closed = jax.make_jaxpr(score)(x)
  chosen = None if ATTENTION.is_in(closed.jaxpr) else _last_map(
      closed.jaxpr, (len(x) * views, x.shape[1] // views, *x.shape[2:]))
  if chosen is None:
    raise NotThere("the network has no feature map with rows and columns")
  seen: list[jax.Array] = []

  def total(delta):
    def replace(eqn, inputs, bind):
      del inputs
      seen.append(bind()[0])
      return [seen[-1] + delta]

    wanted = lambda jaxpr: {i for i, eqn in enumerate(jaxpr.eqns) if eqn is chosen}
    scores = Rewriting(name="feature map", wanted=wanted, replace=replace).run(closed, [x])[0]
    return scores.sum(), seen.pop()

  aval = chosen.outvars[0].aval
  gradient, map_BhwC = jax.grad(total, has_aux=True)(jnp.zeros(aval.shape, aval.dtype))
  alphas = gradient.mean((1, 2), keepdims=True)
  return jax.nn.relu((alphas * map_BhwC).sum(-1))


def _last_map(jaxpr, shape: tuple[int, ...]) -> Any:
  """The last operation that gives (B, h, w, C), h and w above 1 and not above the input's."""
  for eqn in reversed(jaxpr.eqns):
    if eqn.primitive.name in _CALLS:
      inner = _last_map(eqn.params["jaxpr"].jaxpr, shape)
      if inner is not None:
        return inner
    elif len(eqn.outvars) == 1 and _is_map(eqn.outvars[0].aval, shape):
      return eqn
  return None


def _is_map(aval, shape) -> bool:
  return (aval.ndim == 4 and jnp.issubdtype(aval.dtype, jnp.floating) and aval.shape[0] == shape[0]
          and all(1 < side <= most for side, most in zip(aval.shape[1:3], shape[1:3])))
