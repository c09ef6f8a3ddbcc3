"""From a text to a text: translation, summarization.

B examples, S positions of the source, T of the target, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.base import Requests, SpecialTokens
from research.decoding.settings import Decoding
from research.metrics.base import Metric, RecordMetric, TextMetric
from research.metrics.language_modeling import Unit, nats_per, perplexity_per
from research.nn.vocabulary import TokenScores
from research.preprocessing.text.moses import Moses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Against:
  """What is written, held against a reference.

  Attributes:
    metric: what is computed of both.
    reference: the feature that holds the text, or list of texts, that it should be.
    detokenize: makes text as people write it of what the tokenizer gives; None where that is such text, or none is wanted.
  """

  metric: TextMetric
  reference: str
  detokenize: Moses | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Writing:
  """How an evaluation lets the model write, and what of it is measured.

  Attributes:
    decoding: the search.
    source: the feature that holds the source as people read it, for reports; None where it is not to be shown.
    against: the metrics.
  """

  decoding: Decoding
  source: str | None
  against: tuple[Against, ...]


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
    return model(source_BS, before_BT, _real(source_BS, batch["source_length"]), key=key)

  def statistics(self, outputs: TokenScores, batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Rows (B, 2) of each metric: sums over the target's tokens, and their number."""
    smoothing = self.label_smoothing if training else 0.0
    loss_BT, nll_BT, right_BT = outputs.losses(batch["targets"], smoothing=smoothing, chunk=self.loss_chunk)
    weights_BT = _real(batch["targets"], batch["targets_length"]).astype(loss_BT.dtype)
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
    logits_BTV = outputs.logits()
    found_BT = jnp.take_along_axis(logits_BTV, jnp.maximum(targets, 0)[..., None], axis=2)[..., 0]
    return jnp.where(targets >= 0, found_BT, 0).sum(1)

  # --- writing --------------------------------------------------------------------------------------------------------------

  @property
  def special(self) -> SpecialTokens:
    return SpecialTokens(end=(self.end_id,), pad=self.pad_id)

  def requests(self, batch) -> Requests:
    """What decoding is asked for: a target for each real example of a batch."""
    assert self.writing is not None
    num, decoding = len(batch["mask"]), self.writing.decoding
    limits_B = decoding.max_new_tokens + (decoding.max_per_input * batch["source_length"]).astype(jnp.int32)
    return Requests(
        inputs={"inputs": batch["source"], "lengths": batch["source_length"]},
        prompts_BP=jnp.full((num, 1), self.start_id, jnp.int32), lengths_B=jnp.ones(num, jnp.int32),
        limits_B=jnp.where(batch["mask"] > 0, limits_B, 0),
        keys_B=jax.vmap(lambda index: jax.random.fold_in(jax.random.key(0), index))(batch["index"]))


def _real(tokens_BT, length_B):
  return jnp.arange(tokens_BT.shape[1]) < length_B[:, None]
