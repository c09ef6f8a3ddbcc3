"""Language modelling: what the next token is, at each position of a text.

B examples, T positions, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.metrics.base import Metric, RecordMetric
from research.metrics.language_modeling import Unit, bits_per, nats_per, perplexity_per
from research.nn.vocabulary import TokenScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModeling:
  """The next token.

  A batch has `inputs` and `targets` (B, T), integers; `segments` (B, T), the text within the example that a position belongs
  to, 0 for padding; `weights` (B, T), 1 where the target counts. A window of `TokenWindows` is all of this.

  Attributes:
    vocab_size: tokens.
    token: what a token is: "character", "byte", "subword", "word".
    protocol: put into all signatures: which text, which windows.
    loss_chunk: positions whose scores over the vocabulary are held at once, to save memory; they are computed again in the
      backward pass. 0 for all, once.
  """

  vocab_size: int
  token: Unit
  protocol: str = ""
  loss_chunk: int = 0

  def __post_init__(self):
    for name, least in (("vocab_size", 1), ("loss_chunk", 0)):
      if getattr(self, name) < least:
        raise ConfigError(f"{name}={getattr(self, name)}: must be {least} or more")

  @property
  def num_outputs(self) -> int:
    return self.vocab_size

  @property
  def unit(self) -> str:
    return "tokens"

  @property
  def vocabularies(self) -> dict[str, int]:
    """Feature to the number of tokens that the network knows."""
    return {"inputs": self.vocab_size, "targets": self.vocab_size}

  @property
  def metrics(self) -> dict[str, Metric]:
    nats = nats_per(self.token, self.protocol)[f"nats_per_{self.token}"]
    found = {"loss": nats, **perplexity_per(self.token, self.protocol)}
    if self.token in ("character", "byte"):
      found |= bits_per(self.token, self.protocol)
    return {**found, "accuracy": Metric(signature=f"top1/{self.token}", better="higher")}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  def network_inputs(self, batch):
    return batch["inputs"]

  def forward(self, model, batch, key) -> TokenScores:
    return model(batch["inputs"], segments_BT=batch["segments"], key=key)

  def statistics(self, outputs: TokenScores, batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Rows (B, 2) of each metric: sums over the positions that count, and their number."""
    del training
    loss_BT, _, right_BT = outputs.losses(batch["targets"], chunk=self.loss_chunk)
    weights_BT = batch["weights"].astype(loss_BT.dtype)
    count_B = weights_BT.sum(1)
    rows = lambda x_BT: jnp.stack([(x_BT * weights_BT).sum(1), count_B], 1)
    loss = rows(loss_BT)
    return {name: rows(right_BT.astype(loss_BT.dtype)) if name == "accuracy" else loss for name in self.metrics}

  def records(self, outputs, batch):
    """Of each example (B,): its loss in nats a token."""
    sums_B2 = self.statistics(outputs, batch)["loss"]
    return {"loss": sums_B2[:, 0] / jnp.maximum(sums_B2[:, 1], 1)}

  def scores(self, outputs: TokenScores, targets):
    """The logit of token `targets` (B,) at the last position."""
    return jnp.take_along_axis(outputs.logits()[:, -1], targets[:, None], axis=1)[:, 0]
