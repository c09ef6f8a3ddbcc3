"""From speech to text by an encoder and a decoder, which reads a prompt before the text: Whisper.

B utterances, F frames, M mel filters, P tokens of the prompt, T of the text, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.decoding.base import Requests, SpecialTokens
from research.decoding.decoder import decode
from research.decoding.settings import Decoding
from research.metrics.base import Metric, RecordMetric
from research.metrics.language_modeling import Unit, nats_per, perplexity_per
from research.nn.vocabulary import TokenScores
from research.tasks.base import no_padding, one_by_one, summed
from research.tasks.writing import Writing


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechToText:
  """The text that is said in an utterance.

  A batch has `inputs` (B, F, M) with `inputs_length` (B,), and `targets` (B, T), integers with the end's token, with
  `targets_length` (B,).

  Attributes:
    vocab_size: V.
    start_id: the first token that the decoder reads.
    prompt: those that follow before the text: language, task, no times. They count in no loss.
    end_id: the token after the last. Those above it, times and marks, are left out of texts.
    pad_id: fills up what is shorter.
    token: what a token is.
    frame_rate: frames a second.
    writing: how utterances are transcribed in an evaluation; None for the loss alone.
  """

  vocab_size: int
  start_id: int
  prompt: tuple[int, ...] = ()
  end_id: int
  pad_id: int
  token: Unit = "subword"
  frame_rate: float = 100.0
  writing: Writing | None = None

  def __post_init__(self):
    for name in ("start_id", "prompt", "end_id", "pad_id"):
      value = getattr(self, name)
      if not all(0 <= token < self.vocab_size for token in (value if isinstance(value, tuple) else (value,))):
        raise ConfigError(f"{name}={value}: must be from 0 to {self.vocab_size - 1}")
    if not self.frame_rate > 0:
      raise ConfigError(f"frame_rate={self.frame_rate}: must be above 0")
    if self.writing is not None and not isinstance(self.writing.decoding, Decoding):
      raise ConfigError(f"writing.decoding={type(self.writing.decoding).__name__}: must be a Decoding, which writes token by "
                        "token")

  @property
  def num_outputs(self) -> int:
    return self.vocab_size

  @property
  def unit(self) -> str:
    return "tokens"

  @property
  def vocabularies(self) -> dict[str, int]:
    """Feature to the number of tokens that the network knows."""
    return {"targets": self.vocab_size}

  @property
  def metrics(self) -> dict[str, Metric]:
    return {"loss": nats_per(self.token)[f"nats_per_{self.token}"], **perplexity_per(self.token),
            "accuracy": Metric(signature=f"top1/{self.token}", better="higher")}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  def network_inputs(self, batch):
    return batch["inputs"], batch["targets"]

  def forward(self, model, batch, key) -> TokenScores:
    """Scores of every token of the text after the prompt and the true tokens before it."""
    targets_BT = batch["targets"]
    prompt_BP = jnp.broadcast_to(jnp.array([self.start_id, *self.prompt], targets_BT.dtype),
                                 (targets_BT.shape[0], 1 + len(self.prompt)))
    found = model(batch["inputs"], jnp.concatenate([prompt_BP, targets_BT[:, :-1]], 1), key=key)
    return dataclasses.replace(found, hidden_BTD=found.hidden_BTD[:, len(self.prompt):])

  def statistics(self, outputs: TokenScores, batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Rows (B, 2) of each metric: sums over the text's tokens, and their number."""
    loss_BT, nll_BT, right_BT = outputs.losses(batch["targets"])
    weights_BT = no_padding(batch["targets"], batch["targets_length"]).astype(loss_BT.dtype)
    rows = lambda x_BT: jnp.stack([(x_BT.astype(loss_BT.dtype) * weights_BT).sum(1), weights_BT.sum(1)], 1)
    return {"loss": rows(loss_BT), f"perplexity_per_{self.token}": rows(nll_BT), "accuracy": rows(right_BT)}

  def records(self, outputs: TokenScores, batch):
    """Of each utterance (B,): its loss in nats a token, its tokens, its seconds."""
    sums_B2 = self.statistics(outputs, batch)["loss"]
    return {"loss": sums_B2[:, 0] / jnp.maximum(sums_B2[:, 1], 1), "targets_length": batch["targets_length"],
            "seconds": batch["inputs_length"] / self.frame_rate}

  def scores(self, outputs: TokenScores, targets):
    """The summed logits of the tokens `targets` (B, T), −1 where none is meant."""
    return summed(outputs.logits(), targets)

  def questions(self, outputs: TokenScores, batch):
    """At each position of the targets the likeliest token, alone (B, T, T), and the second."""
    return one_by_one(outputs.logits(), no_padding(batch["targets"], batch["targets_length"]))

  def given(self, batch, written):
    """The batch with what was written as its targets."""
    return {**batch, "targets": written["tokens"], "targets_length": written["length"]}

  # --- writing --------------------------------------------------------------------------------------------------------------

  @property
  def size(self) -> tuple[str, str]:
    return "seconds", "seconds"

  @property
  def special(self) -> SpecialTokens:
    return SpecialTokens(end=(self.end_id,), pad=self.pad_id)

  def write(self, model, batch) -> dict[str, jax.Array]:
    """The best hypothesis of each utterance: tokens (B, T) without the prompt, and their number (B,)."""
    assert self.writing is not None and isinstance(self.writing.decoding, Decoding)
    num, prompt, decoding = batch["mask"].shape[0], (self.start_id, *self.prompt), self.writing.decoding
    requests = Requests(
        inputs={"inputs": batch["inputs"]}, prompts_BP=jnp.tile(jnp.array(prompt, jnp.int32), (num, 1)),
        lengths_B=jnp.full(num, len(prompt), jnp.int32),
        limits_B=jnp.where(batch["mask"] > 0, decoding.max_new_tokens, 0),
        keys_B=jax.vmap(lambda index: jax.random.fold_in(jax.random.key(0), index))(batch["index"]))
    found = decode(model, requests, decoding, self.special, decoding.max_new_tokens)
    return {"tokens": found.tokens_BNS[:, 0], "length": found.lengths_BN[:, 0]}

  def texts(self, written, tokenizer) -> list[str]:
    rows = (np.asarray(tokens[:length]) for tokens, length in zip(written["tokens"], written["length"]))
    return [text.strip() for text in tokenizer.decode([tokens[tokens < self.end_id] for tokens in rows])]
