"""From speech to text by an encoder and a decoder, which reads a prompt before the text: Whisper.

B utterances, F frames, M mel filters, P tokens of the prompt, T of the text, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.nn.vocabulary import TokenScores
from research.tasks.sequence_to_sequence import SequenceToSequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechToText(SequenceToSequence):
  """The text that is said in an utterance.

  A batch has `inputs` (B, F, M) with `inputs_length` (B,), and `targets` (B, T), integers with the end's token, with
  `targets_length` (B,).

  Attributes:
    start_id: the first token that the decoder reads.
    prompt: those that follow before the text: language, task, no times. They count in no loss.
    end_id: the token after the last. Those above it, times and marks, are left out of texts.
    frame_rate: frames a second.
    writing: how utterances are transcribed in an evaluation; None for the loss alone.
  """

  prompt: tuple[int, ...] = ()
  frame_rate: float = 100.0

  def __post_init__(self):
    super().__post_init__()
    if not all(0 <= token < self.vocab_size for token in self.prompt):
      raise ConfigError(f"prompt={self.prompt}: must be from 0 to {self.vocab_size - 1}")
    if not self.frame_rate > 0:
      raise ConfigError(f"frame_rate={self.frame_rate}: must be above 0")

  def network_inputs(self, batch):
    return batch["inputs"], batch["targets"]

  def forward(self, model, batch, key) -> TokenScores:
    """Scores of every token of the text after the prompt and the true tokens before it."""
    targets_BT = batch["targets"]
    prompt_BP = jnp.broadcast_to(jnp.array([self.start_id, *self.prompt], targets_BT.dtype),
                                 (targets_BT.shape[0], 1 + len(self.prompt)))
    found = model(batch["inputs"], jnp.concatenate([prompt_BP, targets_BT[:, :-1]], 1), key=key)
    return dataclasses.replace(found, hidden_BTD=found.hidden_BTD[:, len(self.prompt):])

  def records(self, outputs: TokenScores, batch):
    """As of every text, and the seconds of the utterance."""
    return {**super().records(outputs, batch), "seconds": batch["inputs_length"] / self.frame_rate}

  # --- writing --------------------------------------------------------------------------------------------------------------

  @property
  def size(self) -> tuple[str, str]:
    return "seconds", "seconds"

  def write(self, model, batch) -> dict[str, jax.Array]:
    """The best hypothesis of each utterance: tokens (B, T) without the prompt, and their number (B,)."""
    most = self.decoding.max_new_tokens
    return self.decoded(model, batch, {"inputs": batch["inputs"]}, prompt=(self.start_id, *self.prompt), limits_B=most,
                        limit=most)

  def texts(self, written, tokenizer) -> list[str]:
    rows = (np.asarray(tokens[:length]) for tokens, length in zip(written["tokens"], written["length"]))
    return [text.strip() for text in tokenizer.decode([tokens[tokens < self.end_id] for tokens in rows])]
