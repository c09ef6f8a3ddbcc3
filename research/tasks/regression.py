"""Regression with the 1/(2N) squared error."""

import dataclasses

import jax.numpy as jnp

from research.metrics.base import Metric, RecordMetric, mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regression:
  """Predicts real numbers; the loss is 1/(2N) times the sum of squared errors over N examples.

  Attributes:
    num_outputs: numbers predicted for an example.
  """

  num_outputs: int = 1

  @property
  def metrics(self) -> dict[str, Metric]:
    return {"loss": Metric(), "rmse": Metric(lambda sums: mean(sums) ** 0.5)}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  @property
  def unit(self) -> str:
    return "examples"

  def network_inputs(self, batch):
    return batch["inputs"]

  def forward(self, model, batch, key):
    return model(batch["inputs"], key=key)

  def statistics(self, outputs, batch, *, training=False):
    """`outputs` and batch["targets"]: (B, num_outputs) or (B,)."""
    del training
    dtype = jnp.promote_types(outputs.dtype, jnp.float32)
    error = outputs.astype(dtype) - batch["targets"].reshape(outputs.shape).astype(dtype)
    squared = jnp.sum(error.reshape(len(error), -1) ** 2, axis=1)
    one = jnp.ones_like(squared)
    return {"loss": jnp.stack([squared / 2, one], 1), "rmse": jnp.stack([squared, one], 1)}

  def records(self, outputs, batch):
    """None."""
    del outputs, batch
    return {}

  def scores(self, outputs, targets):
    """The output numbered `targets` (B,) of each example."""
    return jnp.take_along_axis(outputs.reshape(len(outputs), -1), targets[:, None], axis=1)[:, 0]

  def questions(self, outputs, batch):
    """Every number that is predicted (B, num_outputs)."""
    del batch
    return jnp.broadcast_to(jnp.arange(self.num_outputs), (len(outputs), self.num_outputs)), None
