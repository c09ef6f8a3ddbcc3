"""From a text to a text: translation, summarization.

B examples, S positions of the source, T of the target, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.base import Requests, SpecialTokens
from research.decoding.decoder import decode
from research.decoding.settings import Decoding
from research.metrics.base import Metric, RecordMetric
from research.metrics.language_modeling import Unit, nats_per, perplexity_per
from research.nn.vocabulary import TokenScores
from research.preprocessing.text.answers import Texts
from research.tasks.application import Application, Given, of_lengths
from research.tasks.base import no_padding, one_by_one, summed
from research.tasks.writing import Writing, first_figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextToText:
  """A target text for each source text.

  A batch has `source` (B, S) and `targets` (B, T), integers, the targets with the end's token, and `source_length` and
  `targets_length` (B,).

  Attributes:
    vocab_size: the target's tokens.
    source_size: the source's, if it has a vocabulary of its own; None for the target's.
    start_id: the token before the first.
    end_id: the token after the last.
    pad_id: fills up what is shorter.
    token: what a token is.
    label_smoothing: probability spread evenly over the vocabulary in training (Szegedy et al. 2016, section 7).
    loss_chunk: see LanguageModeling.
    writing: what is written in an evaluation after training; None for the loss alone.
  """

  vocab_size: int
  source_size: int | None = None
  start_id: int
  end_id: int
  pad_id: int
  token: Unit = "subword"
  label_smoothing: float = 0.0
  loss_chunk: int = 0
  writing: Writing | None = None

  def __post_init__(self):
    if not 0 <= self.label_smoothing < 1:
      raise ConfigError(f"label_smoothing={self.label_smoothing}: must be at least 0 and below 1")
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
    return {"source": self.source_size or self.vocab_size, "targets": self.vocab_size}

  @property
  def metrics(self) -> dict[str, Metric]:
    nats = nats_per(self.token)[f"nats_per_{self.token}"]
    smoothed = dataclasses.replace(nats, signature=f"{nats.signature}|smoothing {self.label_smoothing:g}, in training")
    return {"loss": smoothed if self.label_smoothing else nats, **perplexity_per(self.token),
            "accuracy": Metric(signature=f"top1/{self.token}", better="higher")}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  def network_inputs(self, batch):
    return batch["source"], batch["targets"]

  def forward(self, model, batch, key) -> TokenScores:
    """Scores of every target token after the true ones before it."""
    targets_BT, source_BS = batch["targets"], batch["source"]
    before_BT = jnp.pad(targets_BT[:, :-1], ((0, 0), (1, 0)), constant_values=self.start_id)
    return model(source_BS, before_BT, no_padding(source_BS, batch["source_length"]), key=key)

  def statistics(self, outputs: TokenScores, batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Rows (B, 2) of each metric: sums over the target's tokens, and their number."""
    smoothing = self.label_smoothing if training else 0.0
    loss_BT, nll_BT, right_BT = outputs.losses(batch["targets"], smoothing=smoothing, chunk=self.loss_chunk)
    weights_BT = no_padding(batch["targets"], batch["targets_length"]).astype(loss_BT.dtype)
    count_B = weights_BT.sum(1)
    rows = lambda x_BT: jnp.stack([(x_BT.astype(loss_BT.dtype) * weights_BT).sum(1), count_B], 1)
    return {"loss": rows(loss_BT), f"perplexity_per_{self.token}": rows(nll_BT), "accuracy": rows(right_BT)}

  def records(self, outputs, batch):
    """Of each example (B,): its loss in nats a token, and both lengths."""
    sums_B2 = self.statistics(outputs, batch)["loss"]
    return {"loss": sums_B2[:, 0] / jnp.maximum(sums_B2[:, 1], 1), "source_length": batch["source_length"],
            "targets_length": batch["targets_length"]}

  def scores(self, outputs: TokenScores, targets):
    """The summed logits of the tokens `targets` (B, T), −1 where none is meant."""
    return summed(outputs.logits(), targets)

  def questions(self, outputs: TokenScores, batch):
    """At each position of the targets the likeliest token, alone (B, T, T), and the second."""
    return one_by_one(outputs.logits(), no_padding(batch["targets"], batch["targets_length"]))

  # --- writing --------------------------------------------------------------------------------------------------------------

  @property
  def size(self) -> tuple[str, str]:
    return "source_length", "tokens"

  @property
  def special(self) -> SpecialTokens:
    return SpecialTokens(end=(self.end_id,), pad=self.pad_id)

  def write(self, model, batch) -> dict[str, jax.Array]:
    """The best hypothesis of each example: tokens (B, T) and their number (B,)."""
    decoding = self._decoding
    found = decode(model, self.requests(batch), decoding, self.special, decoding.limit(batch["source"].shape[1]))
    return {"tokens": found.tokens_BNS[:, 0], "length": found.lengths_BN[:, 0]}

  def given(self, batch, written):
    """The batch with what was written as its targets."""
    return {**batch, "targets": written["tokens"], "targets_length": written["length"]}

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

  @property
  def _decoding(self) -> Decoding:
    assert self.writing is not None and isinstance(self.writing.decoding, Decoding)
    return self.writing.decoding

  def requests(self, batch) -> Requests:
    """What decoding is asked for: a target for each real example of a batch."""
    num, decoding = batch["mask"].shape[0], self._decoding
    limits_B = decoding.max_new_tokens + (decoding.max_per_input * batch["source_length"]).astype(jnp.int32)
    return Requests(
        inputs={"inputs": batch["source"], "lengths": batch["source_length"]},
        prompts_BP=jnp.full((num, 1), self.start_id, jnp.int32), lengths_B=jnp.ones(num, jnp.int32),
        limits_B=jnp.where(batch["mask"] > 0, limits_B, 0),
        keys_B=jax.vmap(lambda index: jax.random.fold_in(jax.random.key(0), index))(batch["index"]))
