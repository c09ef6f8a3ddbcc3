"""What of a network goes into a bundle as StableHLO: from stored weights and a batch to an answer, and to its explanation."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from research.application.weights import restore
from research.config import ConfigError
from research.interpretation.attribution import integrated_gradients
from research.interpretation.hearing import begins
from research.interpretation.looking_back import looked_at
from research.interpretation.rewriting import NotThere
from research.tasks.application import Application
from research.tasks.base import Task
from research.training.program import Network

PLATFORMS = ("cpu", "cuda", "tpu")
NUM_STEPS = 24
INTEGRATED = f"integrated gradients from zeros, {NUM_STEPS} steps"
LEFT_OUT = "leaving out one token at a time"


def answering(network: Network, task: Task, application: Application) -> Callable:
  """(weights, batch) -> arrays (B, ...) by name: what is done to batches on the device, the network, what is made of it."""

  def answer(weights, batch):
    return answered(network.bind(*restore(weights, network.params, network.buffers)), network.see(batch), task, application)

  return answer


def answered(model, batch, task: Task, application: Application) -> dict[str, jax.Array]:
  """The application's answer; of a text that was written, if the network has attention to its source, also `alignment`
  (B, T, S), see `looked_at`; of one that was heard `begins`.

  Raises ConfigError where it cannot be seen when a text was heard."""
  found = application.answer(model, batch)
  if application.heard is not None:
    try:
      found["begins"] = begins(application.heard(model, found))
    except NotThere as error:
      raise ConfigError(f"words cannot be timed: {error}") from error
  if application.reading is not None:
    source, targets = application.reading
    forward = lambda tokens_BT: task.forward(model, {**batch, targets: tokens_BT}, None).logits()
    with contextlib.suppress(NotThere):
      found["alignment"] = looked_at(forward, found["tokens"], batch[source].shape[1])
  return found


def explaining(network: Network, task: Task, application: Application, name: str, *, tokens: bool) -> Callable:
  """(weights, batch of one, target) -> what each part adds to the target's score, how many parts count, and the target.

  The parts are the tokens of the feature `name`, or its numbers as the network sees them, summed over their last dim (colours,
  mel filters). A target of −1 is the answer.
  """

  def explain(weights, batch, target):
    model = network.bind(*restore(weights, network.params, network.buffers))
    seen = network.see(batch)
    outputs = lambda x: task.forward(model, {**seen, name: x}, None)
    target_1 = jnp.where(target < 0, jnp.argmax(outputs(seen[name]), -1), target)
    if tokens:
      text = lambda ids, length: {**seen, name: ids, f"{name}_length": length}
      score = lambda ids, length: task.scores(task.forward(model, text(ids, length), None), target_1)
      return _left_out(score, seen[name], seen[f"{name}_length"]), seen[f"{name}_length"][0], target_1[0]
    parts = integrated_gradients(lambda x: task.scores(outputs(x), target_1), seen[name], 0.0, NUM_STEPS, memory_budget=1)[0]
    parts = parts.astype(jnp.float32)
    length = seen[f"{name}_length"][0] if f"{name}_length" in seen else jnp.int32(parts.shape[0])
    return parts.sum(-1) if parts.ndim > 1 else parts, length, target_1[0]

  return explain


def _left_out(score: Callable, ids_1T: jax.Array, length_1: jax.Array) -> jax.Array:
  """(T,): by how much the score falls without each token; the others close up."""
  at = jnp.arange(ids_1T.shape[1])

  def without(i):
    kept_T = ids_1T[0][jnp.minimum(at + (at >= i), len(at) - 1)]
    return score(kept_T[None], jnp.maximum(length_1 - 1, 1))[0]

  return (score(ids_1T, length_1) - jax.lax.map(without, at)).astype(jnp.float32)


def exported(function: Callable, weights: Mapping[str, Any], batch: Mapping[str, jax.ShapeDtypeStruct], *further) -> bytes:
  """A function as StableHLO for all platforms.

  Args:
    function: (weights, batch, ...) -> arrays.
    weights: as stored.
    batch: of one example; its leading dim becomes a symbol where there are no further arguments.
    *further: abstract.
  """
  spec = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in weights.items()}
  if not further:
    (num,) = jax_export.symbolic_shape("b")
    batch = {name: jax.ShapeDtypeStruct((num, *x.shape[1:]), x.dtype) for name, x in batch.items()}
  return bytes(jax_export.export(jax.jit(function), platforms=PLATFORMS)(spec, dict(batch), *further).serialize())
