"""How to decode: greedy, sampling or beam search, with constraints, as configuration."""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.decoding.constraints import Constraints


@dataclasses.dataclass(frozen=True, kw_only=True)
class Greedy:
  """The most probable token each time. Its score: the sum of the model's log-probabilities, before constraints."""

  num_rows, num_hypotheses, signature = 1, 1, "greedy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """Tokens drawn at random. The score: the sum of the model's log-probabilities, before constraints and temperature.

  Cuts come in the order temperature, top_k, top_p, min_p, each from the probabilities that the one before left, as in
  Hugging Face's `generate`.

  Attributes:
    temperature: divides the logits.
    top_k: keep the k most probable tokens; None for all.
    top_p: keep the fewest of the most probable tokens whose probabilities sum to at least this (Holtzman et al. 2020). Without
      top_k it takes thirty passes over the vocabulary each step.
    min_p: keep tokens at least this times as probable as the most probable one (Nguyen et al. 2024).
    num_samples: draws of each sentence.
    seed: with a sentence's place among the inputs it gives the sentence's key.
  """

  temperature: float = 1.0
  top_k: int | None = None
  top_p: float = 1.0
  min_p: float = 0.0
  num_samples: int = 1
  seed: int = 0

  def __post_init__(self):
    if not (self.temperature > 0 and math.isfinite(self.temperature)):
      raise ConfigError(f"temperature={self.temperature}: must be above 0; the most probable token each time is Greedy()")
    if self.top_k is not None and self.top_k < 1:
      raise ConfigError(f"top_k={self.top_k}: must be 1 or more, or None for all tokens")
    if not 0 < self.top_p <= 1:
      raise ConfigError(f"top_p={self.top_p}: must be above 0 and at most 1")
    if not 0 <= self.min_p <= 1:
      raise ConfigError(f"min_p={self.min_p}: must be from 0 to 1")
    if self.num_samples < 1:
      raise ConfigError(f"num_samples={self.num_samples}: must be 1 or more")

  @property
  def num_rows(self) -> int:
    return self.num_samples

  @property
  def num_hypotheses(self) -> int:
    return self.num_samples

  @property
  def signature(self) -> str:
    cuts = {f"top_k:{self.top_k}": self.top_k is not None, f"top_p:{self.top_p:g}": self.top_p < 1,
            f"min_p:{self.min_p:g}": self.min_p > 0, f"samples:{self.num_samples}": self.num_samples > 1}
    return "|".join([f"sampling{self.temperature:g}", *(cut for cut, used in cuts.items() if used), f"seed:{self.seed}"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsRequested:
  """One text each, drawn with the temperature and the top_p of its request; a temperature of 0 is greedy decoding.

  The score: the sum of the log-probabilities after constraints and before temperature, as Whisper counts it.
  """

  num_rows, num_hypotheses, signature = 1, 1, "as requested"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beam:
  """Beam search as in Hugging Face's `generate` (transformers 5).

  Each step takes the 2K best continuations of all beams of a sentence (more where several tokens end). Those among the first K
  that end enter a list of the K best finished hypotheses; the K best that go on are the next beams. A hypothesis' score is the
  sum of its log-probabilities, after constraints, divided by the length penalty of n, the number of new tokens with the end's.

  Attributes:
    num_beams: K.
    num_best: hypotheses to give of each sentence, at most K.
    length_penalty: "power": n^alpha, Hugging Face's, and fairseq's `lenpen` (which also counts what a prompt has beyond one
      token); "gnmt": ((5 + n)/6)^alpha (Wu et al. 2016, equation 14), which Tensor2Tensor has too.
    alpha: strength of the length penalty; 0 for none.
    early_stopping: when a sentence with K finished hypotheses is done. True: at once, as fairseq. False: when the best beam,
      were it to end here, would not beat the worst of them. "never": when it could not at any length up to the limit, so far
      as the penalty goes; Tensor2Tensor's.
  """

  num_beams: int = 4
  num_best: int = 1
  length_penalty: Literal["power", "gnmt"] = "power"
  alpha: float = 1.0
  early_stopping: bool | Literal["never"] = False

  def __post_init__(self):
    if self.num_beams < 1:
      raise ConfigError(f"num_beams={self.num_beams}: must be 1 or more")
    if not 1 <= self.num_best <= self.num_beams:
      raise ConfigError(f"num_best={self.num_best}: must be from 1 to num_beams={self.num_beams}")
    if not math.isfinite(self.alpha):
      raise ConfigError(f"alpha={self.alpha}: must be a finite number")

  @property
  def num_rows(self) -> int:
    return self.num_beams

  @property
  def num_hypotheses(self) -> int:
    return self.num_best

  @property
  def signature(self) -> str:
    stops = {True: "stop:first", False: "", "never": "stop:never"}[self.early_stopping]
    return "|".join(filter(None, (f"beam{self.num_beams}", f"lenpen:{self.length_penalty}{self.alpha:g}", stops)))

  def penalty(self, num_tokens: jax.Array) -> jax.Array:
    """What a sum of log-probabilities of so many tokens is divided by, float32."""
    n = jnp.asarray(num_tokens, jnp.float32)
    return n**self.alpha if self.length_penalty == "power" else ((5 + n) / 6) ** self.alpha


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoding:
  """From a model's logits to tokens.

  Attributes:
    search: how the next token is chosen.
    constraints: what may not, or must, be chosen.
    max_new_tokens: the most tokens of a hypothesis, the end's included. (Hugging Face's max_length counts the prompt too,
      fairseq's max_len_b does not count the end.)
    max_per_input: so many more for each position of the input, as fairseq's max_len_a.
  """

  search: Greedy | Sampling | AsRequested | Beam = Greedy()
  constraints: Constraints = Constraints()
  max_new_tokens: int = 128
  max_per_input: float = 0.0

  def __post_init__(self):
    if self.max_new_tokens < 1:
      raise ConfigError(f"max_new_tokens={self.max_new_tokens}: must be 1 or more")
    if self.max_per_input < 0:
      raise ConfigError(f"max_per_input={self.max_per_input}: must be 0 or more")
    if self.constraints.min_new_tokens > self.max_new_tokens:
      raise ConfigError(f"constraints.min_new_tokens={self.constraints.min_new_tokens}: must be at most "
                        f"max_new_tokens={self.max_new_tokens}")

  def limit(self, length: int) -> int:
    """The most new tokens for an input of this length."""
    return int(self.max_per_input * length) + self.max_new_tokens

  @property
  def signature(self) -> str:
    """What a metric of the decoded text must name, as "beam5|lenpen:power1|max:64"."""
    most = f"max:{f'{self.max_per_input:g}n+' if self.max_per_input else ''}{self.max_new_tokens}"
    return "|".join(filter(None, (self.search.signature, self.constraints.signature, most)))
