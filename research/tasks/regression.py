"""Regression with the 1/(2N) squared error."""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from research.config import ConfigError
from research.metrics.base import Metric, RecordMetric, mean
from research.metrics.correlation import pearson, spearman
from research.tasks.base import of_inputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regression:
  """Predicts real numbers; the loss is 1/(2N) times the sum of squared errors over N examples.

  Texts are integers `inputs` (B, T) with `inputs_length` (B,); their network is told where there is padding.

  Attributes:
    num_outputs: numbers predicted for an example.
    extra_metrics: correlations of the one number with its target, in evaluation only.
  """

  num_outputs: int = 1
  extra_metrics: tuple[Literal["pearson", "spearman"], ...] = ()

  def __post_init__(self):
    if self.extra_metrics and self.num_outputs != 1:
      raise ConfigError(f"extra_metrics={self.extra_metrics}: are of one number, not of num_outputs={self.num_outputs}")

  @property
  def metrics(self) -> dict[str, Metric]:
    return {"loss": Metric(), "rmse": Metric(lambda sums: mean(sums) ** 0.5)}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    of = lambda score: lambda records, weights: score(records["target"], records["prediction"], weights)
    known = {"pearson": pearson, "spearman": spearman}
    return {name: RecordMetric(of(known[name]), better="higher") for name in self.extra_metrics}

  @property
  def unit(self) -> str:
    return "examples"

  def network_inputs(self, batch):
    return batch["inputs"]

  def forward(self, model, batch, key):
    return of_inputs(model, batch, key)

  def statistics(self, outputs, batch, *, training=False):
    """`outputs` and batch["targets"]: (B, num_outputs) or (B,)."""
    del training
    dtype = jnp.promote_types(outputs.dtype, jnp.float32)
    error = outputs.astype(dtype) - batch["targets"].reshape(outputs.shape).astype(dtype)
    squared = jnp.sum(error.reshape(len(error), -1) ** 2, axis=1)
    one = jnp.ones_like(squared)
    return {"loss": jnp.stack([squared / 2, one], 1), "rmse": jnp.stack([squared, one], 1)}

  def records(self, outputs, batch):
    """Of each example (B,) "target" and "prediction", where one number is predicted."""
    if self.num_outputs != 1:
      return {}
    number_B = lambda x: x.reshape(-1).astype(jnp.promote_types(outputs.dtype, jnp.float32))
    return {"target": number_B(batch["targets"]), "prediction": number_B(outputs)}

  def scores(self, outputs, targets):
    """The output numbered `targets` (B,) of each example."""
    return jnp.take_along_axis(outputs.reshape(len(outputs), -1), targets[:, None], axis=1)[:, 0]

  def questions(self, outputs, batch):
    """Every number that is predicted (B, num_outputs)."""
    del batch
    return jnp.broadcast_to(jnp.arange(self.num_outputs), (len(outputs), self.num_outputs)), None
