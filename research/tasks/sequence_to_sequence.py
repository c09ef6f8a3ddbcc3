"""What ways from an input to a text share whose decoder reads the text's tokens before the one that it scores.

B examples, P tokens of the prompt, T of the text, V vocabulary.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

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
class SequenceToSequence:
  """A text for an input.

  A batch has `targets` (B, T), integers with the end's token, and `targets_length` (B,).

  Attributes:
    vocab_size: the target's tokens.
    start_id: the token before the first.
    end_id: the token after the last.
    pad_id: fills up what is shorter.
    token: what a token is.
    writing: what is written in an evaluation after training; None for the loss alone.
  """

  vocab_size: int
  start_id: int
  end_id: int
  pad_id: int
  token: Unit = "subword"
  writing: Writing | None = None

  def __post_init__(self):
    for name in ("start_id", "end_id", "pad_id"):
      if not 0 <= getattr(self, name) < self.vocab_size:
        raise ConfigError(f"{name}={getattr(self, name)}: must be from 0 to {self.vocab_size - 1}")
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

  def statistics(self, outputs: TokenScores, batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Rows (B, 2) of each metric: sums over the text's tokens, and their number."""
    loss_BT, nll_BT, right_BT = self.losses(outputs, batch["targets"], training=training)
    weights_BT = no_padding(batch["targets"], batch["targets_length"]).astype(loss_BT.dtype)
    count_B = weights_BT.sum(1)
    rows = lambda x_BT: jnp.stack([(x_BT.astype(loss_BT.dtype) * weights_BT).sum(1), count_B], 1)
    return {"loss": rows(loss_BT), f"perplexity_per_{self.token}": rows(nll_BT), "accuracy": rows(right_BT)}

  def losses(self, outputs: TokenScores, targets_BT: jax.Array, *, training: bool) -> tuple[jax.Array, ...]:
    """See `TokenScores.losses`."""
    del training
    return outputs.losses(targets_BT)

  def records(self, outputs: TokenScores, batch) -> dict[str, jax.Array]:
    """Of each example (B,): its loss in nats a token, and the tokens of its text."""
    sums_B2 = self.statistics(outputs, batch)["loss"]
    return {"loss": sums_B2[:, 0] / jnp.maximum(sums_B2[:, 1], 1), "targets_length": batch["targets_length"]}

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
  def special(self) -> SpecialTokens:
    return SpecialTokens(end=(self.end_id,), pad=self.pad_id)

  @property
  def decoding(self) -> Decoding:
    assert self.writing is not None and isinstance(self.writing.decoding, Decoding)
    return self.writing.decoding

  def decoded(self, model, batch, inputs: Mapping[str, jax.Array], *, prompt: tuple[int, ...], limits_B: jax.Array | int,
              limit: int) -> dict[str, jax.Array]:
    """The best hypothesis of each example: tokens (B, T) without the prompt, and their number (B,).

    Args:
      model: the network.
      batch: `mask` and `index`: an example that is none gets no text.
      inputs: what the encoder reads.
      prompt: P tokens that the decoder reads first.
      limits_B: the most tokens of each text.
      limit: the most of all.
    """
    num = batch["mask"].shape[0]
    requests = Requests(
        inputs=inputs, prompts_BP=jnp.tile(jnp.array(prompt, jnp.int32), (num, 1)),
        lengths_B=jnp.full(num, len(prompt), jnp.int32), limits_B=jnp.where(batch["mask"] > 0, limits_B, 0),
        keys_B=jax.vmap(lambda index: jax.random.fold_in(jax.random.key(0), index))(batch["index"]))
    found = decode(model, requests, self.decoding, self.special, limit)
    return {"tokens": found.tokens_BNS[:, 0], "length": found.lengths_BN[:, 0]}
