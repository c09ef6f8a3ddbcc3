"""Which parts of an input a score comes from: gradients, and averages of gradients along a path or under noise.

A method is given a scoring function and inputs, never the model: `score` maps a batch (B, ...) of floating-point inputs
to one number for each example (B,), and scores an example without regard to the others (batch normalisation runs on
its stored statistics). The averaging methods hand it several copies of the batch at once, one after another,
(C·B, ...): a score that knows labels repeats them, as `class_score` does. Every method may be called inside jit.

Shapes: B batch, C copies of the batch in one call, K classes.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from research.interpretation.memory import bytes_of
from research.interpretation.rewriting import replace_relu

Score = Callable[[jax.Array], jax.Array]

_MEMORY = 1 << 28  # bytes


def class_score(logits: Callable[[jax.Array], jax.Array], labels_B: jax.Array) -> Score:
  """The logit of one class for each example, whatever number of copies of the batch it is given.

  Args:
    logits: maps (B, ...) to (B, K).
    labels_B: the class of each example, integers.
  """
  labels_B = jnp.asarray(labels_B)

  def score(x):
    logits_NK = logits(x)
    labels_N = jnp.tile(labels_B, len(logits_NK) // len(labels_B))
    return jnp.take_along_axis(logits_NK, labels_N[:, None], axis=-1)[:, 0]

  return score


def gradient(score: Score, x: jax.Array) -> jax.Array:
  """The derivative of each example's score by its input, in the shape and type of `x` (Simonyan et al. 2014).

  Raises:
    ValueError: `x` is not floating point (attribute embeddings, not token numbers).
  """
  _check_float(x)
  return jax.grad(lambda x: _total(score, x))(x)


def gradient_x_input(score: Score, x: jax.Array) -> jax.Array:
  """gradient · x, elementwise (Shrikumar et al. 2017): exact where the score is linear in x without a constant."""
  return gradient(score, x) * x


def integrated_gradients(score: Score, x: jax.Array, baseline: jax.typing.ArrayLike, num_steps: int = 50, *,
                         memory_budget: int = _MEMORY) -> jax.Array:
  """(x − x')·∫₀¹ ∇score(x' + α(x − x')) dα (Sundararajan, Taly, Yan 2017, equation 1), by the midpoint rule.

  Args:
    score: the scoring function.
    x: the inputs (B, ...).
    baseline: x', the inputs that stand for "nothing there"; broadcast to the shape of `x`.
    num_steps: points α = (k + ½)/num_steps at which the gradient is taken.
    memory_budget: bytes that one call may keep for its backward pass; decides how many points are taken at once, not
      the result.

  Returns:
    Attributions like `x`; over an example they sum to score(x) − score(x') but for `completeness_gap`.
  """
  _check_float(x)
  difference = x - jnp.asarray(baseline, x.dtype)
  mean = _mean_gradient(
      score, x, lambda k: x - difference * (1 - (k + 0.5) / num_steps).astype(x.dtype), num_steps, memory_budget)
  return (difference * mean).astype(x.dtype)


def smoothgrad(score: Score, x: jax.Array, key: jax.Array, *, noise: float = 0.15, num_samples: int = 50,
               memory_budget: int = _MEMORY) -> jax.Array:
  """The mean gradient over noisy copies of each input (Smilkov et al. 2017).

  Args:
    score: the scoring function.
    x: the inputs (B, ...).
    key: the noise; sample k is drawn from fold_in(key, k), so that the memory budget does not change it.
    noise: standard deviation of the Gaussian noise as a fraction of max − min of the example.
    num_samples: copies of each input.
    memory_budget: as in `integrated_gradients`.
  """
  _check_float(x)
  inner = tuple(range(1, x.ndim))
  scale = noise * (x.max(inner, keepdims=True) - x.min(inner, keepdims=True))
  noisy = lambda k: x + scale * jax.random.normal(jax.random.fold_in(key, k), x.shape, x.dtype)
  return _mean_gradient(score, x, noisy, num_samples, memory_budget).astype(x.dtype)


def guided_backpropagation(score: Score, x: jax.Array) -> jax.Array:
  """The gradient with every relu passing back only what is positive (Springenberg et al. 2015).

  The model is not edited: the traced scoring function is run with another relu. See `replace_relu` for what counts as
  one.

  Raises:
    ValueError: `x` is not floating point, or the score has no relu: the method says nothing about other activations.
  """
  return gradient(replace_relu(score, _guided_relu), x)


def completeness_gap(score: Score, x: jax.Array, baseline: jax.typing.ArrayLike, attributions: jax.Array) -> jax.Array:
  """|Σ attributions − (score(x) − score(x'))| / |score(x) − score(x')| for each example (B,).

  A fraction, 0 for exact integrated gradients; not finite where the two scores are equal.
  """
  change = score(x) - score(jnp.broadcast_to(jnp.asarray(baseline, x.dtype), x.shape))
  return jnp.abs(attributions.reshape(len(x), -1).sum(-1) - change) / jnp.abs(change)


@jax.custom_vjp
def _guided_relu(x):
  return jnp.maximum(x, 0)


_guided_relu.defvjp(lambda x: (jnp.maximum(x, 0), x > 0), lambda on, g: (jnp.where(on & (g > 0), g, 0),))


def _check_float(x) -> None:
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise ValueError(f"attribution needs floating-point inputs to take a derivative by, not {x.dtype}")


def _total(score: Score, x: jax.Array) -> jax.Array:
  scores = score(x)
  assert scores.shape == x.shape[:1], f"a score is one number for each example: {x.shape[:1]}, not {scores.shape}"
  return scores.sum()


def _mean_gradient(score: Score, x: jax.Array, point: Callable[[jax.Array], jax.Array], num: int,
                   memory_budget: int) -> jax.Array:
  """The mean over k < num of the gradient at point(k), an array like x; at least float32."""
  size = min(num, max(1, memory_budget // _bytes_per_copy(score, x)))
  num_chunks = math.ceil(num / size)
  size = math.ceil(num / num_chunks)
  numbers = jnp.arange(num_chunks * size).reshape(num_chunks, size)

  def add(total, k_C):
    # Copies are joined into one large batch: mapping over them would take convolution gradients one at a time.
    points = jax.vmap(point)(jnp.minimum(k_C, num - 1))
    gradients = gradient(score, points.reshape(-1, *x.shape[1:])).reshape(points.shape)
    return total + jnp.tensordot((k_C < num).astype(total.dtype), gradients.astype(total.dtype), 1), None

  total, _ = jax.lax.scan(add, jnp.zeros(x.shape, jnp.promote_types(x.dtype, jnp.float32)), numbers)
  return total / num


def _bytes_per_copy(score: Score, x: jax.Array) -> int:
  """What one more copy of the batch adds to the memory of a gradient, where there are some already: so parameters, which are
  there once, do not count."""
  of = lambda num: bytes_of(lambda x: gradient(score, x), num, x)
  return of(9) - of(8)
