"""Classification with the categorical cross-entropy."""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.metrics.base import Metric


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification:
  """One of several classes for an example.

  Attributes:
    num_classes: classes.
    label_smoothing: probability spread evenly over all classes in training (Szegedy et al. 2016, section 7).
    top: report top-k accuracy for these k.
  """

  num_classes: int
  label_smoothing: float = 0.0
  top: tuple[int, ...] = (1,)

  def __post_init__(self):
    if not 0 <= self.label_smoothing < 1:
      raise ConfigError(f"label_smoothing={self.label_smoothing}: must be at least 0 and below 1")
    if not all(1 <= k <= self.num_classes for k in self.top):
      raise ConfigError(f"top={self.top}: each must be from 1 to num_classes={self.num_classes}")

  @property
  def num_outputs(self) -> int:
    return self.num_classes

  @property
  def metrics(self) -> dict[str, Metric]:
    accuracies = {self._accuracy_name(k): Metric(signature=f"top{k}", better="higher") for k in self.top}
    return {"loss": Metric(signature="nats"), **accuracies}

  def _accuracy_name(self, k: int) -> str:
    return "accuracy" if k == 1 else f"top{k}_accuracy"

  def forward(self, model, batch, key):
    return model(batch["inputs"], key=key)

  def statistics(self, outputs, batch, *, training=False):
    """`outputs`: logits (B, num_classes). batch["labels"]: (B,) integers, or (B, num_classes) probabilities."""
    logits = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    labels = batch["labels"]
    wanted = labels if labels.ndim == 2 else jax.nn.one_hot(labels, self.num_classes, dtype=logits.dtype)
    smoothing = self.label_smoothing if training else 0.0
    smoothed = wanted * (1 - smoothing) + smoothing / self.num_classes
    losses = -jnp.sum(smoothed * jax.nn.log_softmax(logits), axis=-1)
    one = jnp.ones_like(losses)
    out = {"loss": jnp.stack([losses, one], 1)}
    # Rank of the right class: ties and what is not a number count against us: a constant is never right.
    truth = labels if labels.ndim == 1 else jnp.argmax(labels, axis=-1)
    right = jnp.take_along_axis(logits, truth[:, None], axis=1)
    rank = jnp.sum(~(logits < right), axis=-1)
    for k in self.top:
      out[self._accuracy_name(k)] = jnp.stack([(rank <= k).astype(logits.dtype), one], 1)
    return out

  def scores(self, outputs, targets):
    """The logit of class `targets` (B,) of each example."""
    return jnp.take_along_axis(outputs, targets[:, None], axis=1)[:, 0]
