"""What the ways from speech to text share: the batch, the unit of the loss, the size of an utterance.

B utterances, T frames, N labels of a text.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.metrics.base import Metric
from research.metrics.language_modeling import Unit, nats_per
from research.tasks.application import Application, Given, of_lengths
from research.tasks.writing import Writing, right


def listener(given: Given, writing: Writing | None, **more: Any) -> Application:
  """The application of every way from speech to text: a text with the times of its words.

  Args:
    given: of the data.
    writing: of the task.
    **more: the rest of the application.

  Raises:
    ConfigError: people give no audio.
  """
  if given.modality != "audio":
    raise ConfigError("a transcription needs recordings: these data hold what was made of them, which nobody can give")
  return Application(kind="speech-to-text", features=("inputs",), lengths=of_lengths(("inputs",), given.lengths),
                     unit="samples", quality=right(writing), **more)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speech:
  """The text that is said in an utterance.

  A batch has `inputs` (B, T, ...) with `inputs_length` (B,), and `targets` (B, N) integers with `targets_length` (B,).

  Attributes:
    vocab_size: outputs: the tokenizer's ids, its padding, which no text has, being the blank.
    blank: the output that stands for none.
    token: what a label is.
    frame_rate: frames a second of the inputs, as the network sees them.
    writing: how utterances are transcribed in an evaluation after training; None for the loss alone.
    noise_levels: signal-to-noise ratios in decibels at which that is done once more, for the report.
  """

  vocab_size: int
  blank: int = 0
  token: Unit = "character"
  frame_rate: float = 100.0
  writing: Writing | None = None
  noise_levels: tuple[float, ...] = ()

  method: ClassVar[str]  # of the loss, in signatures
  searches: ClassVar[tuple[type, ...]]  # that can read what the network says

  def __post_init__(self):
    if not 0 <= self.blank < self.vocab_size:
      raise ConfigError(f"blank={self.blank}: must be from 0 to {self.vocab_size - 1}")
    if not self.frame_rate > 0:
      raise ConfigError(f"frame_rate={self.frame_rate}: must be above 0")
    if self.writing is not None and not isinstance(self.writing.decoding, self.searches):
      raise ConfigError(f"writing.decoding={type(self.writing.decoding).__name__}: must be "
                        f"{' or '.join(search.__name__ for search in self.searches)}")

  @property
  def num_outputs(self) -> int:
    return self.vocab_size

  @property
  def unit(self) -> str:
    return f"{self.token}s"

  @property
  def vocabularies(self) -> dict[str, int]:
    """Feature to the number of tokens that the network knows."""
    return {"targets": self.vocab_size}

  @property
  def size(self) -> tuple[str, str]:
    return "seconds", "seconds"

  @property
  def metrics(self) -> dict[str, Metric]:
    nats = nats_per(self.token)[f"nats_per_{self.token}"]
    return {"loss": dataclasses.replace(nats, signature=f"{self.method} {nats.signature}"),
            "does_not_fit": Metric(signature="share of texts with more labels than frames, which have no loss")}

  def network_inputs(self, batch):
    return batch["inputs"]

  def rows(self, nats_B: jax.Array, fits_B: jax.Array, batch) -> dict[str, jax.Array]:
    """Rows (B, 2) of each metric. A text that does not fit into its frames has no probability, and no loss either."""
    pairs = lambda x_B, count_B: jnp.stack([x_B, count_B.astype(jnp.float32)], 1)
    return {"loss": pairs(jnp.where(fits_B, nats_B, 0), jnp.where(fits_B, batch["targets_length"], 0)),
            "does_not_fit": pairs(~fits_B * 1.0, jnp.ones_like(batch["targets_length"]))}

  def rates(self, num_frames: int, batch) -> jax.Array:
    """(B,): frames a second, of every utterance the same; one of the network's for a whole number of the input's."""
    inputs = batch["inputs"]
    return jnp.full(inputs.shape[:1], self.frame_rate / max(1, round(inputs.shape[1] / num_frames)), jnp.float32)

  def statistics(self, outputs, batch, *, training: bool = False) -> dict[str, jax.Array]:
    raise TypeError(f"{type(self).__name__} defines no statistics")

  def records(self, outputs, batch) -> dict[str, jax.Array]:
    """Of each utterance (B,): its loss in nats a label, the labels of its text, its seconds."""
    sums_B2 = self.statistics(outputs, batch)["loss"]
    return {"loss": sums_B2[:, 0] / jnp.maximum(sums_B2[:, 1], 1), "targets_length": batch["targets_length"],
            "seconds": batch["inputs_length"] / self.frame_rate}
