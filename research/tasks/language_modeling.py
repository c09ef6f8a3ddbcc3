"""Language modelling: what the next token is, at each position of a text.

B examples, T positions, V vocabulary.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.base import Requests, SpecialTokens
from research.decoding.decoder import decode
from research.decoding.settings import AsRequested, Decoding
from research.metrics.base import Metric, RecordMetric
from research.metrics.language_modeling import Unit, bits_per, nats_per, perplexity_per
from research.nn.vocabulary import TokenScores
from research.preprocessing.text.answers import Continuations
from research.tasks.application import Application, Given, Option


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModeling:
  """The next token.

  A batch has `inputs` and `targets` (B, T), integers; `segments` (B, T), the text within the example that a position belongs
  to, 0 for padding; `weights` (B, T), 1 where the target counts; `bytes` and `words` (B,), how much text those targets are. A
  window of `TokenWindows` is all of this.

  Attributes:
    vocab_size: tokens.
    token: what a token is: "character", "byte", "subword", "word".
    protocol: put into all signatures: which text, which windows.
    per: what the nats are divided by besides, so that models of unlike tokens can be compared: bits per byte, perplexity per
      word.
    loss_chunk: positions whose scores over the vocabulary are held at once, to save memory; they are computed again in the
      backward pass. 0 for all, once.
  """

  vocab_size: int
  token: Unit
  protocol: str = ""
  per: tuple[Literal["byte", "word"], ...] = ()
  loss_chunk: int = 0

  def __post_init__(self):
    for name, least in (("vocab_size", 1), ("loss_chunk", 0)):
      if getattr(self, name) < least:
        raise ConfigError(f"{name}={getattr(self, name)}: must be {least} or more")
    if self.token in self.per:
      raise ConfigError(f"per={self.per}: a {self.token} is what token says already")

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
    for unit in self.per:
      found |= {"byte": bits_per, "word": perplexity_per}[unit](unit, self.protocol)
    return {**found, "accuracy": Metric(signature=f"top1/{self.token}", better="higher")}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    return {}

  def tokens_in(self, batch) -> int:
    """How many tokens a batch, or its shapes, has at most: what a law of loss counts as data (research/planning/scaling.py)."""
    return math.prod(batch["targets"].shape)

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
    loss_B2 = rows(loss_BT)
    found = {name: rows(right_BT.astype(loss_BT.dtype)) if name == "accuracy" else loss_B2 for name in self.metrics}
    for unit in self.per:
      name = {"byte": "bits_per_byte", "word": "perplexity_per_word"}[unit]
      found[name] = jnp.stack([loss_B2[:, 0], batch[f"{unit}s"].astype(loss_BT.dtype)], 1)
    return found

  def records(self, outputs, batch):
    """Of each example (B,): its loss in nats a token."""
    sums_B2 = self.statistics(outputs, batch)["loss"]
    return {"loss": sums_B2[:, 0] / jnp.maximum(sums_B2[:, 1], 1)}

  def application(self, given: Given) -> Application:
    """A text that goes on: prompts of a quarter, half and three quarters of a window, and as many tokens as fit behind them."""
    (window,), tokenizer = given.shapes["inputs"], given.tokenizers["inputs"]
    if window < 4:
      raise ConfigError(f"windows of {window} tokens: a prompt and what goes on needs 4 or more")
    lengths = tuple({"inputs": window * quarters // 4} for quarters in (1, 2, 3))
    end = () if tokenizer.eos_id is None else (tokenizer.eos_id,)

    def answer(model, batch):
      prompts_BP = batch["inputs"]
      most = window - prompts_BP.shape[1] + 1
      requests = Requests(
          inputs=None, prompts_BP=prompts_BP, lengths_B=batch["inputs_length"],
          limits_B=jnp.where(batch["mask"] > 0, jnp.minimum(batch["max_tokens"], most), 0),
          keys_B=jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), batch["seed"]),
          temperatures_B=batch["temperature"], top_p_B=batch["top_p"])
      found = decode(model, requests, Decoding(search=AsRequested(), max_new_tokens=most),
                     SpecialTokens(end=end, pad=tokenizer.pad_id or 0), most)
      return {"tokens": found.tokens_BNS[:, 0], "length": found.lengths_BN[:, 0]}

    return Application(
        kind="text-generation", features=("inputs",), lengths=lengths, unit="tokens", keeps="end", answer=answer,
        words=Continuations(tokenizer="tokenizers/inputs", prompt="inputs", end=end),
        options={
            "max_tokens": Option(about="the most new tokens", default=window - window // 4, low=1, high=window, dtype="int32"),
            "temperature": Option(about="divides the scores; 0 takes the most probable token", default=0.0, low=0.0, high=10.0,
                                  dtype="float32"),
            "top_p": Option(about="share of the probability that is drawn from", default=1.0, low=1e-3, high=1.0,
                            dtype="float32"),
            "seed": Option(about="of the draws", default=0, low=0, high=2**31 - 1, dtype="int32")})

  def scores(self, outputs: TokenScores, targets):
    """The logit of token `targets` (B,) at the last position."""
    return jnp.take_along_axis(outputs.logits()[:, -1], targets[:, None], axis=1)[:, 0]

  def questions(self, outputs: TokenScores, batch):
    """The likeliest token after the last position (B, 1), and the second."""
    del batch
    best_B2 = jax.lax.top_k(outputs.logits()[:, -1], 2)[1]
    return best_B2[:, :1], best_B2[:, 1:]
