"""Some consecutive words of a text as its summary.

B examples, T tokens of a text, U of its summary, L lengths of a span.
"""

import dataclasses

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.spans import BestSpan
from research.metrics.base import Metric, RecordMetric
from research.tasks.base import no_padding
from research.tasks.writing import Writing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction:
  """The span of a text that is most like a given summary.

  A batch has `inputs` (B, T) and `targets` (B, U), integers of one vocabulary, with `inputs_length` and `targets_length` (B,).
  The network gives three scores for each token: to begin, to end and to be inside of the span. It is trained by the
  cross-entropy of its distribution over all spans with one that is proportional to exp(likeness / temperature), which rewards
  what is nearly right (Norouzi et al. 2016). Texts that share no token with their summary teach nothing.

  Likeness is a stand-in for ROUGE, with tokens in the place of words: (2 F1 of tokens + F1 of pairs of tokens in a row) / 3,
  where every token of the span that is in the summary counts.

  Attributes:
    temperature: see above.
    writing: what is written in an evaluation after training: its decoding must be a BestSpan.
  """

  temperature: float = 0.1
  writing: Writing

  def __post_init__(self):
    if not self.temperature > 0:
      raise ConfigError(f"temperature={self.temperature}: must be above 0")
    if not isinstance(self.writing.decoding, BestSpan):
      raise ConfigError(f"writing.decoding={type(self.writing.decoding).__name__}: must be a BestSpan")

  @property
  def num_outputs(self) -> int:
    return 3

  @property
  def metrics(self) -> dict[str, Metric]:
    kind = f"{self._spans.signature}|temperature {self.temperature:g}"
    return {"loss": Metric(signature=f"nats/text|{kind}"),
            "likeness": Metric(signature=f"(2 F1 of tokens + F1 of pairs)/3|{self._spans.signature}", better="higher")}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  @property
  def unit(self) -> str:
    return "texts"

  @property
  def _spans(self) -> BestSpan:
    assert isinstance(self.writing.decoding, BestSpan)
    return self.writing.decoding

  def network_inputs(self, batch):
    return batch["inputs"]

  def forward(self, model, batch, key) -> jax.Array:
    """The scores of all spans (B, T, L), −inf where there is none."""
    mask_BT = no_padding(batch["inputs"], batch["inputs_length"])
    return self._spans.scores(model(batch["inputs"], mask_BT, key=key), batch["inputs_length"])

  def statistics(self, outputs, batch, *, training: bool = False) -> dict[str, jax.Array]:
    """Rows (B, 2): the loss of texts that teach something, the likeness of the best span."""
    del training
    scores_BN, likeness_BN = (x.reshape(len(x), -1) for x in (outputs, self.likeness(batch)))
    real_BN = scores_BN > -jnp.inf
    likeness_BN = jnp.where(real_BN, likeness_BN, 0)
    teaches_B = (jnp.max(likeness_BN, 1) > 0).astype(scores_BN.dtype)
    log_p_BN = jax.nn.log_softmax(jnp.where(real_BN, scores_BN, -1e9))  # finite: an empty text has none at all
    wanted_BN = jax.nn.softmax(jnp.where(real_BN, likeness_BN / self.temperature, -1e9))
    loss_B = -jnp.sum(jnp.where(real_BN, wanted_BN * log_p_BN, 0), 1)
    best_B = jnp.take_along_axis(likeness_BN, jnp.argmax(scores_BN, 1)[:, None], 1)[:, 0]
    return {"loss": jnp.stack([loss_B * teaches_B, teaches_B], 1), "likeness": jnp.stack([best_B, jnp.ones_like(best_B)], 1)}

  def likeness(self, batch) -> jax.Array:
    """(B, T, L): of every span to the summary, 0 to 1."""
    inputs_BT, targets_BU, spans = batch["inputs"], batch["targets"], self._spans
    there_BU = no_padding(targets_BU, batch["targets_length"])
    same_BTU = (inputs_BT[..., None] == targets_BU[:, None]) & there_BU[:, None]
    found_BT = same_BTU.any(-1).astype(jnp.float32)
    next_BT = jnp.pad((same_BTU[:, :-1, :-1] & same_BTU[:, 1:, 1:]).any(-1).astype(jnp.float32), ((0, 0), (0, 1)))
    own_L, theirs_B11 = jnp.arange(1, spans.max_tokens + 1), batch["targets_length"][:, None, None]
    words_BTL = 2 * jnp.minimum(spans.sums(found_BT), theirs_B11) / jnp.maximum(own_L + theirs_B11, 1)
    # A pair belongs to its first token: those of a span are those of the span without its last.
    pairs_BTL = jnp.pad(spans.sums(next_BT)[..., :-1], ((0, 0), (0, 0), (1, 0)))
    pairs_BTL = 2 * jnp.minimum(pairs_BTL, theirs_B11 - 1) / jnp.maximum(own_L + theirs_B11 - 2, 1)
    return (2 * words_BTL + jnp.maximum(pairs_BTL, 0)) / 3

  def records(self, outputs, batch) -> dict[str, jax.Array]:
    """Of each example (B,): its loss, and the text's length."""
    return {"loss": self.statistics(outputs, batch)["loss"][:, 0], "inputs_length": batch["inputs_length"]}

  def scores(self, outputs, targets) -> jax.Array:
    """The score of span number `targets` (B,) of each example, t · L + l."""
    return jnp.take_along_axis(outputs.reshape(len(outputs), -1), targets[:, None], 1)[:, 0]

  def questions(self, outputs, batch):
    """The best span (B, 1), and the second."""
    del batch
    best_B2 = jax.lax.top_k(outputs.reshape(len(outputs), -1), 2)[1]
    return best_B2[:, :1], best_B2[:, 1:]

  def given(self, batch, written):
    """The batch: what is written does not come back to the network."""
    del written
    return batch

  # --- writing --------------------------------------------------------------------------------------------------------------

  @property
  def size(self) -> tuple[str, str]:
    return "inputs_length", "tokens"

  def write(self, model, batch) -> dict[str, jax.Array]:
    """The best span of each example: tokens (B, L) and their number (B,)."""
    tokens_BL, length_B = self._spans.tokens(self.forward(model, batch, None), batch["inputs"])
    return {"tokens": tokens_BL, "length": length_B}

  def texts(self, written, tokenizer) -> list[str]:
    return tokenizer.decode([tokens[:length] for tokens, length in zip(written["tokens"], written["length"])])
