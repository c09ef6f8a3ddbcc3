"""A network put to the question: its score, and gradients of it, at many inputs at once, compiled once and within a budget.

Every method of explanation is made of a few compiled functions: the score at masked inputs, gradients along a path, under
noise, and single passes. They take the weights as arguments, so that a network whose layers were forgotten costs no compiler,
and as many copies of the batch at a time as the memory allows, so that nothing is mapped over (convolutions are slow when they
are).

Shapes: B examples, C copies of the batch in one call, K copies in all, U units, P... places.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.interpretation import attribution
from research.interpretation.attachment import Attachment
from research.interpretation.memory import copies_within
from research.interpretation.rewriting import without_checkpoints
from research.interpretation.units import Units

_MOST = 64  # copies in one call: more are no faster


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Case:
  """What is explained: one answer of each of B examples.

  Attributes:
    batch: as the network sees it.
    targets: (B, ...) of the task's `scores`.
    against: the answers that they are held against, or None.
    baseline: what stands for "nothing there", like one input, or like all.
    shift: added to the inputs.
  """

  batch: dict[str, jax.Array]
  targets: jax.Array
  against: jax.Array | None
  baseline: jax.Array
  shift: jax.Array


Weights = tuple[Any, Any]  # parameters and buffers


class Probe:
  """The compiled functions.

  Args:
    attachment: where explanations attach.
    units: what they speak of.
    memory_budget: bytes that one call may take beside the weights.
    between: called before each call; may raise to break off.
  """

  def __init__(self, attachment: Attachment, units: Units, memory_budget: int, between: Callable[[], None] = lambda: None):
    self.attachment, self.units, self.memory_budget, self.between = attachment, units, memory_budget, between
    self._copies: dict[tuple, int] = {}
    self._functions: dict[str, Callable] = {}
    self.inputs = jax.jit(self._inputs)

  def score(self, weights: Weights, case: Case) -> attribution.Score:
    """The score as a function of the inputs, for tracing. What training computes twice is kept: a budget limits memory."""
    return without_checkpoints(self.attachment.score(*weights, case.batch, case.targets, case.against))

  def whole(self, name: str, function: Callable) -> Callable:
    """function(score, x, case, ...), compiled once under its name: (weights, case, ...) -> its value."""
    def run(weights, case, *more):
      self.between()
      return self._jitted(name, function)(weights, case, *more)

    return run

  def scores_at_masks(self, weights: Weights, case: Case, masks_KBU: np.ndarray) -> np.ndarray:
    """(K, B): the scores where each unit is as it is (1) or as the baseline has it (0)."""
    def function(score, x, case, masks_CBU):
      return score(self.units.keep(x, case.baseline, masks_CBU)).reshape(masks_CBU.shape[:2])

    copies = self._fitting("score", lambda score, x: score(x), weights, case)
    run, parts = self.whole("masks", function), []
    for start, stop, size in _chunks(len(masks_KBU), copies):
      part = np.asarray(masks_KBU[start:stop], np.float32)
      filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)])
      parts.append(np.asarray(run(weights, case, filled))[:len(part)])
    return np.concatenate(parts)

  def path_gradient(self, weights: Weights, case: Case, alphas_K: np.ndarray) -> jax.Array:
    """(B, ...): the sum of the gradients at baseline + α (input − baseline)."""
    def function(score, x, case, alphas_C, weights_C):
      points = case.baseline + alphas_C.reshape(-1, *[1] * x.ndim).astype(x.dtype) * (x - case.baseline)
      return _weighted_gradient(score, points, weights_C)

    return self._sum("path", function, weights, case, np.asarray(alphas_K, np.float32))

  def noise_gradient(self, weights: Weights, case: Case, seeds_K: np.ndarray, noise: float) -> jax.Array:
    """(B, ...): the sum of the gradients under noise, `noise` of each example's range as in `attribution.smoothgrad`."""
    def function(score, x, case, seeds_C, weights_C, noise):
      inner = tuple(range(1, x.ndim))
      scale = noise * (x.max(inner, keepdims=True) - x.min(inner, keepdims=True))
      draws = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), x.shape, x.dtype))(seeds_C)
      return _weighted_gradient(score, x + scale * draws, weights_C)

    return self._sum("noise", function, weights, case, np.asarray(seeds_K, np.int32), jnp.float32(noise))

  def _sum(self, name: str, function: Callable, weights: Weights, case: Case, values_K: np.ndarray, *more) -> jax.Array:
    copies = self._fitting("gradient", attribution.gradient, weights, case)
    run, total = self.whole(name, function), None
    for start, stop, size in _chunks(len(values_K), copies):
      part = values_K[start:stop]
      short = size - len(part)
      counts = np.concatenate([np.ones(len(part), np.float32), np.zeros(short, np.float32)])
      found = run(weights, case, np.pad(part, (0, short)), counts, *more)
      total = found if total is None else total + found
    assert total is not None
    return total

  def _jitted(self, name: str, function: Callable) -> Callable:
    if name not in self._functions:
      self._functions[name] = jax.jit(lambda weights, case, *more: function(
          self.score(weights, case), self._inputs(weights, case), case, *more))
    return self._functions[name]

  def _inputs(self, weights: Weights, case: Case) -> jax.Array:
    return self.attachment.inputs(*weights, case.batch) + case.shift

  def _fitting(self, kind: str, function: Callable, weights: Weights, case: Case) -> int:
    """Copies of the batch that `function(score, x)` may be given at once."""
    shapes = (kind, *(x.shape for x in jax.tree.leaves(case)))
    if shapes not in self._copies:
      x = jax.eval_shape(self.inputs, weights, case)
      self._copies[shapes] = copies_within(lambda x: function(self.score(weights, case), x), x, self.memory_budget, _MOST)
    return self._copies[shapes]


def _weighted_gradient(score, points, weights_C):
  gradients = attribution.gradient(score, points.reshape(-1, *points.shape[2:])).reshape(points.shape)
  wide = jnp.promote_types(gradients.dtype, jnp.float32)
  return jnp.tensordot(weights_C.astype(wide), gradients.astype(wide), 1)


def _chunks(num: int, copies: int) -> Iterator[tuple[int, int, int]]:
  """(start, stop, size) of calls with at most so many copies: the last one is filled up to 2, 8, 32, or to `copies`.

  So few shapes are compiled, and few copies are computed for nothing.
  """
  for start in range(0, num, copies):
    rest, size = min(copies, num - start), 2
    while size < rest:
      size *= 4
    yield start, start + rest, min(size, copies)
