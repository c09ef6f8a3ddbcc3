"""From a text to a text: translation, summarization.

B examples, S positions of the source, T of the target, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.metrics.base import Metric
from research.nn.vocabulary import TokenScores
from research.preprocessing.text.answers import Texts
from research.tasks.application import Application, Given, of_lengths
from research.tasks.base import no_padding
from research.tasks.sequence_to_sequence import SequenceToSequence
from research.tasks.writing import first_figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextToText(SequenceToSequence):
  """A target text for each source text.

  A batch has `source` (B, S) and `targets` (B, T), integers, the targets with the end's token, and `source_length` and
  `targets_length` (B,).

  Attributes:
    source_size: the source's tokens, if it has a vocabulary of its own; None for the target's.
    label_smoothing: probability spread evenly over the vocabulary in training (Szegedy et al. 2016, section 7).
    loss_chunk: see LanguageModeling.
  """

  source_size: int | None = None
  label_smoothing: float = 0.0
  loss_chunk: int = 0

  def __post_init__(self):
    super().__post_init__()
    if not 0 <= self.label_smoothing < 1:
      raise ConfigError(f"label_smoothing={self.label_smoothing}: must be at least 0 and below 1")

  @property
  def vocabularies(self) -> dict[str, int]:
    """Feature to the number of tokens that the network knows."""
    return {"source": self.source_size or self.vocab_size, **super().vocabularies}

  @property
  def metrics(self) -> dict[str, Metric]:
    found = super().metrics
    if self.label_smoothing:
      smoothed = f"{found['loss'].signature}|smoothing {self.label_smoothing:g}, in training"
      found["loss"] = dataclasses.replace(found["loss"], signature=smoothed)
    return found

  def network_inputs(self, batch):
    return batch["source"], batch["targets"]

  def forward(self, model, batch, key) -> TokenScores:
    """Scores of every target token after the true ones before it."""
    targets_BT, source_BS = batch["targets"], batch["source"]
    before_BT = jnp.pad(targets_BT[:, :-1], ((0, 0), (1, 0)), constant_values=self.start_id)
    return model(source_BS, before_BT, no_padding(source_BS, batch["source_length"]), key=key)

  def losses(self, outputs: TokenScores, targets_BT, *, training: bool):
    smoothing = self.label_smoothing if training else 0.0
    return outputs.losses(targets_BT, smoothing=smoothing, chunk=self.loss_chunk)

  def records(self, outputs: TokenScores, batch):
    """As of every text, and the source's length."""
    return {**super().records(outputs, batch), "source_length": batch["source_length"]}

  # --- writing --------------------------------------------------------------------------------------------------------------

  @property
  def size(self) -> tuple[str, str]:
    return "source_length", "tokens"

  def write(self, model, batch) -> dict[str, jax.Array]:
    """The best hypothesis of each example: tokens (B, T) and their number (B,)."""
    most, more = self.decoding.max_new_tokens, self.decoding.max_per_input
    return self.decoded(
        model, batch, {"inputs": batch["source"], "lengths": batch["source_length"]}, prompt=(self.start_id,),
        limits_B=most + (more * batch["source_length"]).astype(jnp.int32), limit=self.decoding.limit(batch["source"].shape[1]))

  def texts(self, written, tokenizer) -> list[str]:
    return tokenizer.decode([tokens[:length] for tokens, length in zip(written["tokens"], written["length"])])

  def application(self, given: Given) -> Application:
    """A text for a text, as `writing` says. Raises ConfigError where it says nothing."""
    if self.writing is None:
      raise ConfigError("task.writing=None: an application needs to know how its texts are written")
    against = self.writing.against
    detokenize = next((a.detokenize for a in against if a.detokenize is not None), None)
    words = Texts(tokenizer="tokenizers/targets", source="source", source_tokenizer="tokenizers/source", end=(self.end_id,),
                  detokenize=detokenize)

    def quality(answers, examples, raw):
      del examples
      first = next((a for a in against if a.detokenize == detokenize), against[0])
      return first_figure(first, answers, raw)

    return Application(kind="text-to-text", features=("source",), lengths=of_lengths(("source",), given.lengths), unit="tokens",
                       answer=self.write, words=words, quality=quality, reading=("source", "targets"))
