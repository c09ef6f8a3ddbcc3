"""From speech to text by an encoder and a decoder, which reads a prompt before the text: Whisper.

B utterances, F frames, M mel filters, P tokens of the prompt, T of the text, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.decoding.whisper import WhisperTokens
from research.decoding.whisper_windows import say
from research.nn.vocabulary import TokenScores
from research.preprocessing.text.whisper_texts import SECONDS, WhisperTexts
from research.tasks.application import Application, Given, Heard, Option
from research.tasks.base import no_padding
from research.tasks.sequence_to_sequence import SequenceToSequence
from research.tasks.speech import listener

_LONGEST = 224  # tokens of a window: half of the positions of every published decoder


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
    vocabulary: what an application must know of it: times, what is never said; None where this becomes no application.
  """

  prompt: tuple[int, ...] = ()
  frame_rate: float = 100.0
  vocabulary: WhisperTokens | None = None

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

  def application(self, given: Given) -> Application:
    """A text with the times of its words, of recordings of any length.

    Raises ConfigError where people give no audio, or the vocabulary is not said.
    """
    if self.vocabulary is None:
      raise ConfigError("task.vocabulary=None: an application needs to know which tokens are times")
    tokens = self.vocabulary
    prompt = tuple(token for token in self.prompt if token != tokens.no_timestamps)

    def answer(model, batch):
      encoded_BSD = model.encode(batch["inputs"])
      limit = min(_LONGEST, model.config.embedding.max_length - len(prompt) - 4)  # the start, a language, no times, the end
      keys_B = jax.vmap(lambda index: jax.random.fold_in(jax.random.key(0), index))(batch["index"])
      said = say(model, encoded_BSD, tokens, prompt=prompt, limits_B=jnp.where(batch["mask"] > 0, limit, 0), limit=limit,
                 temperatures_B=batch["temperature"], keys_B=keys_B)
      return {"tokens": said.tokens_BT, "length": said.counts_B, "log_probability": said.log_probabilities_B,
              "no_speech": said.no_speech_B, "seconds": batch["inputs_length"].astype(jnp.float32) / self.frame_rate,
              "encoded": encoded_BSD, "prompts": said.prompts_BP,
              **({} if said.languages_B is None else {"language": said.languages_B})}

    def heard(model, found):
      encoded_BSD, prompts_BP, tokens_BT = found.pop("encoded"), found.pop("prompts"), found["tokens"]
      is_text_BT = no_padding(tokens_BT, found["length"]) & (tokens_BT < tokens.end)
      text_BT = jnp.take_along_axis(tokens_BT, jnp.argsort(~is_text_BT, axis=1, stable=True), 1)
      text_BT = jnp.where(no_padding(text_BT, is_text_BT.sum(1)), text_BT, tokens.end)
      column = lambda token: jnp.full_like(text_BT[:, :1], token)
      read_BT = jnp.concatenate([prompts_BP, column(tokens.no_timestamps), text_BT, column(tokens.end)], 1)
      before, num_positions = prompts_BP.shape[1] + 1, encoded_BSD.shape[1]
      positions_B = jnp.clip(jnp.round(found["seconds"] / SECONDS), 1, num_positions).astype(jnp.int32)
      return Heard(lambda read_BT: model.read(encoded_BSD, read_BT).logits(), read_BT, before + is_text_BT.sum(1) + 1, before,
                   positions_B, num_positions, tokens.alignment_heads)

    return listener(
        given, self.writing, answer=answer, heard=heard,
        words=WhisperTexts(tokenizer="tokenizers/targets", end=tokens.end, first_time=tokens.first_time,
                           languages=tuple(code for code, _ in tokens.languages)),
        options={"temperature": Option(about="of random draws; 0 takes the most probable token", default=0.0, low=0.0, high=1.0,
                                       dtype="float32")})
