"""The form of a task: what is learned, apart from what computes it and how it is trained."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax

from research.metrics.base import Metric, RecordMetric

Batch = Mapping[str, jax.Array]


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
