"""From speech to text by connectionist temporal classification (Graves et al. 2006).

B utterances, T frames, N labels of a text, V outputs: the labels and the blank.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.decoding.ctc_alignment import word_times
from research.decoding.ctc_search import BestPath, PrefixBeamSearch
from research.metrics.base import RecordMetric
from research.metrics.edit_distance import edit_distance
from research.nn.ctc import Frames, begins, best_labels, ctc_loss, fits
from research.preprocessing.text.answers import Transcripts
from research.preprocessing.text.base import Tokenizer
from research.tasks.application import Application, Given
from research.tasks.base import one_by_one, summed
from research.tasks.speech import Speech, listener


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transcription(Speech):
  """The text that is said in an utterance; the network maps inputs and their lengths to Frames, fewer of them as a rule."""

  method, searches = "ctc", (BestPath, PrefixBeamSearch)

  def __post_init__(self):
    super().__post_init__()
    decoding = None if self.writing is None else self.writing.decoding
    if isinstance(decoding, PrefixBeamSearch) and decoding.blank != self.blank:
      raise ConfigError(f"writing.decoding.blank={decoding.blank}: must be blank={self.blank}")

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    """How well the best path does, while training goes on; transcripts are scored by what `writing` says."""
    rate = lambda records, weights: float(100 * (weights @ records["edits"]) / (weights @ records["targets_length"]))
    return {f"{self.token}_errors": RecordMetric(rate, f"edits per {self.token}, %|tokens as they are|ctc best path")}

  def forward(self, model, batch, key) -> Frames:
    return model(batch["inputs"], batch["inputs_length"], key=key)

  def statistics(self, outputs: Frames, batch, *, training=False):
    lengths_B = batch["targets_length"]
    nats_B = ctc_loss(*outputs, batch["targets"], lengths_B, blank=self.blank)
    return self.rows(nats_B, fits(outputs.lengths, batch["targets"], lengths_B), batch)

  def records(self, outputs: Frames, batch):
    """As of Speech, and the best path's edits."""
    found = best_labels(*outputs, blank=self.blank)
    return {**super().records(outputs, batch),
            "edits": edit_distance(*found, batch["targets"], batch["targets_length"])}

  def scores(self, outputs: Frames, targets):
    """The summed logits of the labels `targets` (B, T) in their frames, −1 where none is meant."""
    return summed(outputs.logits, targets)

  def questions(self, outputs: Frames, batch):
    """Each label of the best path in the frame where it begins, alone (B, T, T), and the second best output there."""
    del batch
    return one_by_one(outputs.logits, begins(jnp.argmax(outputs.logits, -1), outputs.lengths, blank=self.blank))

  def given(self, batch, written):
    """The batch: what is written does not come back to the network."""
    del written
    return batch

  def application(self, given: Given) -> Application:
    """The best path's text, with the times of its words."""

    def answer(model, batch):
      frames = self.forward(model, batch, None)
      return {"path": jnp.argmax(frames.logits, -1).astype(jnp.int32), "length": frames.lengths,
              "rate": self.rates(frames.logits.shape[1], batch)}

    return listener(given, self.writing, answer=answer, words=Transcripts(tokenizer="tokenizers/targets", blank=self.blank))

  # --- writing --------------------------------------------------------------------------------------------------------------

  def listen(self, model, batch) -> dict[str, jax.Array]:
    """ln of the probabilities (B, T, V) of frames, how many count (B,), and how many there are a second (B,)."""
    frames = self.forward(model, batch, None)
    return {"log_probs": jax.nn.log_softmax(frames.logits.astype(jnp.float32)), "length": frames.lengths,
            "rate": self.rates(frames.logits.shape[1], batch)}

  def write(self, model, batch) -> dict[str, jax.Array]:
    """Of the best path the labels (B, T) and their number (B,); what a search needs is what `listen` gives."""
    assert self.writing is not None
    if isinstance(self.writing.decoding, PrefixBeamSearch):
      return self.listen(model, batch)
    return dict(zip(("labels", "length"), best_labels(*self.forward(model, batch, None), blank=self.blank)))

  def texts(self, written, tokenizer) -> list[str]:
    assert self.writing is not None
    search = self.writing.decoding
    if not isinstance(search, PrefixBeamSearch):
      return tokenizer.decode([labels[:length] for labels, length in zip(written["labels"], written["length"])])
    names = [] if search.language_model is None else [tokenizer.token(label) for label in range(self.vocab_size)]
    best = (search.search(log_probs[:length], names)[0] for log_probs, length in zip(written["log_probs"], written["length"]))
    return tokenizer.decode([np.array(hypothesis.labels, np.int32) for hypothesis in best])

  def word_times(self, heard, text: str, tokenizer: Tokenizer) -> list[dict[str, str | float]]:
    """When each word of a text was said, in seconds; see `ctc_alignment.word_times`.

    Args:
      heard: what `listen` gives, of one utterance.
      text: its transcript.
      tokenizer: of the labels.
    """
    labels, = tokenizer.encode([text])
    return word_times(heard["log_probs"][:heard["length"]], labels, tokenizer, frames_per_second=float(heard["rate"]),
                      blank=self.blank)
