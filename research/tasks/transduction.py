"""From speech to text by a transducer (Graves 2012). B utterances, T frames, N labels of a text."""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.transducer_search import Spoken, TransducerGreedy
from research.metrics.base import RecordMetric
from research.nn.transducer import Lattice, transducer_loss
from research.preprocessing.text.answers import Emissions
from research.tasks.application import Application, Given
from research.tasks.base import no_padding
from research.tasks.speech import Speech, listener


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transduction(Speech):
  """The text that is said in an utterance; the network maps inputs, their lengths and the text to a Lattice.

  Its `blank` is the network's.
  """

  method, searches = "transducer", (TransducerGreedy,)

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  def forward(self, model, batch, key) -> Lattice:
    return model(batch["inputs"], batch["inputs_length"], batch["targets"], key=key)

  def statistics(self, outputs: Lattice, batch, *, training=False):
    return self.rows(transducer_loss(outputs, batch["targets_length"]), outputs.lengths > 0, batch)

  def scores(self, outputs: Lattice, targets):
    """ln of the probability of the texts that the network was given; −1 stands behind their ends in `targets` (B, N)."""
    return -transducer_loss(outputs, (targets >= 0).sum(1))

  def questions(self, outputs: Lattice, batch):
    """The text that the network was given (B, 1, N)."""
    del outputs
    return jnp.where(no_padding(batch["targets"], batch["targets_length"]), batch["targets"], -1)[:, None], None

  def given(self, batch, written):
    """The batch with what was written as its targets."""
    return {**batch, "targets": written["labels"], "targets_length": written["length"]}

  def application(self, given: Given) -> Application:
    """The text that `writing` finds, with the times of its words. Raises ConfigError where it says nothing."""
    if self.writing is None:
      raise ConfigError("task.writing=None: an application needs to know how its texts are written")

    def answer(model, batch):
      found = self._spoken(model, batch)
      return {"labels": found.labels_BN, "length": found.counts_B, "frames": found.frames_BN, "num_frames": found.lengths_B,
              "rate": self.rates(found.labels_BN.shape[1], batch)}

    return listener(given, self.writing, answer=answer, words=Emissions(tokenizer="tokenizers/targets"))

  def _spoken(self, model, batch) -> Spoken:
    assert self.writing is not None and isinstance(self.writing.decoding, TransducerGreedy)
    return self.writing.decoding.search(model, batch["inputs"], batch["inputs_length"], blank=self.blank)

  # --- writing --------------------------------------------------------------------------------------------------------------

  def write(self, model, batch) -> dict[str, jax.Array]:
    """Labels (B, T) and their number (B,)."""
    found = self._spoken(model, batch)
    return {"labels": found.labels_BN, "length": found.counts_B}

  def texts(self, written, tokenizer) -> list[str]:
    return tokenizer.decode([labels[:length] for labels, length in zip(written["labels"], written["length"])])
