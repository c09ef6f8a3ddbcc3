"""The form of a task: what is learned, apart from what computes it and how it is trained."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from research.metrics.base import Metric, RecordMetric

Batch = Mapping[str, jax.Array]


def no_padding(tokens_BT: jax.Array, lengths_B: jax.Array) -> jax.Array:
  """(B, T): True where a position is one of its text's tokens."""
  return jnp.arange(tokens_BT.shape[1]) < lengths_B[:, None]


def of_inputs(model: Any, batch: Batch, key: jax.Array | None) -> Any:
  """What a network says of `inputs`; of texts (B, T), with `inputs_length` (B,), it is told where there is padding."""
  inputs = batch["inputs"]
  given = (no_padding(inputs, batch["inputs_length"]),) if "inputs_length" in batch else ()
  return model(inputs, *given, key=key)


def one_by_one(logits_BTV: jax.Array, real_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The best and the second best token of each real position, with −1 at all others: (B, T, T) each. See `Task.questions`."""
  best_BT2 = jax.lax.top_k(logits_BTV, 2)[1]
  alone_BTT = jnp.eye(real_BT.shape[1], dtype=bool) & real_BT[:, :, None]
  of = lambda tokens_BT: jnp.where(alone_BTT, tokens_BT[:, :, None], -1)
  return of(best_BT2[..., 0]), of(best_BT2[..., 1])


def summed(logits_BTV: jax.Array, tokens_BT: jax.Array) -> jax.Array:
  """(B,): the logits of some tokens, added up over the positions; −1 where none is meant."""
  found_BT = jnp.take_along_axis(logits_BTV, jnp.maximum(tokens_BT, 0)[..., None], axis=2)[..., 0]
  return jnp.where(tokens_BT >= 0, found_BT, 0).sum(1)


class Task(Protocol):
  """What the step, the evaluator and the explanations need to know of a task.

  `statistics` holds "loss", rows (B, 2) of (total, count): training minimises sum of totals / sum of counts.
  """

  @property
  def num_outputs(self) -> int:
    """Width of the network's last layer."""
    ...

  @property
  def metrics(self) -> dict[str, Metric]:
    """How to finish each entry of `statistics`."""
    ...

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    """Metrics of all `records` of an evaluation; none in training."""
    ...

  @property
  def unit(self) -> str:
    """What the loss counts: "examples", "tokens"."""
    ...

  def network_inputs(self, batch: Mapping[str, jax.ShapeDtypeStruct]) -> Any:
    """What the network is built for: that part of a batch that `forward` calls it with."""
    ...

  def forward(self, model: Any, batch: Batch, key: jax.Array | None) -> Any:
    """Runs the network on a batch; `key` is None at inference. Returns arrays, or a tree of them: the "outputs" below."""
    ...

  def statistics(self, outputs: Any, batch: Batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Per-example sufficient statistics, each (B, k). Label smoothing and the like only where `training`."""
    ...

  def records(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
    """What an evaluation keeps of each example, (B,) each."""
    ...

  def scores(self, outputs: Any, targets: jax.Array) -> jax.Array:
    """The (B,) numbers an explanation asks about, differentiable in the network's inputs."""
    ...

  def questions(self, outputs: Any, batch: Batch) -> tuple[jax.Array, jax.Array | None]:
    """What an explanation asks `scores` for: the network's answers, Q for an example.

    Returns:
      `targets` of each answer (B, Q, ...), nothing but −1 where an example has fewer; and those of what it would have said
      otherwise, or None where there is no second answer.
    """
    ...
