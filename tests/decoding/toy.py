"""A model for tests: what it says of the next token hangs on every token before it, and on the sentence.

Shapes: B sentences, R rows, T tokens, S slots, D width, V vocabulary.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from research.decoding.base import Requests, SpecialTokens
from research.decoding.decoder import decode
from research.decoding.settings import Decoding

END, PAD, START = 1, 0, 2
SPECIAL = SpecialTokens(end=(END,), pad=PAD)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ToyState:
  """As a real cache is: layers in front of the rows. The sentence is shared by its beams, -1 is an empty slot."""

  tokens_LRS: jax.Array
  count_R: jax.Array
  sentence_BD: jax.Array

  def expand(self, num_beams):
    return dataclasses.replace(self, tokens_LRS=jnp.repeat(self.tokens_LRS, num_beams, 1),
                               count_R=jnp.repeat(self.count_R, num_beams))

  def reorder(self, rows_R):
    return dataclasses.replace(self, tokens_LRS=self.tokens_LRS[:, rows_R])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Toy:
  """logits = tanh(sum over positions of embedding[position, token] + sentence) · out + bias.

  Attributes:
    embedding_SVD: of a token at a position.
    out_DV: to the logits.
    bias_V: of the logits.
  """

  embedding_SVD: jax.Array
  out_DV: jax.Array
  bias_V: jax.Array

  @classmethod
  def random(cls, seed: int, num_tokens: int, num_slots: int = 24, width: int = 6, sharpness: float = 1.5) -> "Toy":
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return cls(normal(num_slots, num_tokens, width), sharpness * normal(width, num_tokens), np.zeros(num_tokens, np.float32))

  def start(self, inputs, num_rows, num_slots):
    width = self.out_DV.shape[0]
    sentence_BD = jnp.zeros((num_rows, width)) if inputs is None else _summary(inputs, width)
    return ToyState(jnp.full((2, num_rows, num_slots), -1), jnp.zeros(num_rows, jnp.int32), sentence_BD)

  def step(self, state, tokens_RT, lengths_R=None):
    num_rows, num_tokens = tokens_RT.shape
    lengths_R = jnp.full(num_rows, num_tokens) if lengths_R is None else lengths_R
    given_RT = jnp.arange(num_tokens) < lengths_R[:, None]
    at_RT = jnp.where(given_RT, state.count_R[:, None] + jnp.arange(num_tokens), state.tokens_LRS.shape[-1])
    tokens_LRS = state.tokens_LRS.at[:, jnp.arange(num_rows)[:, None], at_RT].set(tokens_RT, mode="drop")
    seen_RS = tokens_LRS[1]
    embedded_RSD = self.embedding_SVD[jnp.arange(seen_RS.shape[1]), seen_RS]
    hidden_RD = jnp.sum(embedded_RSD * (seen_RS >= 0)[..., None], 1)
    hidden_RD += jnp.repeat(state.sentence_BD, num_rows // len(state.sentence_BD), 0)
    logits_RV = jnp.tanh(hidden_RD) @ self.out_DV + self.bias_V
    return logits_RV, dataclasses.replace(state, tokens_LRS=tokens_LRS, count_R=state.count_R + lengths_R)

  def log_probabilities(self, tokens: Sequence[int], sentence: Sequence[int] = ()) -> np.ndarray:
    """Of the next token after these, in plain NumPy, float64."""
    hidden = sum(self.embedding_SVD[i, token].astype(np.float64) for i, token in enumerate(tokens))
    if len(sentence):
      inputs = {"inputs": np.array([sentence]), "lengths": np.array([len(sentence)])}
      hidden = hidden + np.asarray(_summary(inputs, len(hidden)))[0]
    logits = np.tanh(hidden) @ self.out_DV.astype(np.float64) + self.bias_V
    return logits - np.log(np.sum(np.exp(logits - logits.max()))) - logits.max()

  def score(self, prompt: Sequence[int], new: Sequence[int], sentence: Sequence[int] = ()) -> float:
    """Sum of the new tokens' log-probabilities."""
    return sum(self.log_probabilities([*prompt, *new[:i]], sentence)[token] for i, token in enumerate(new))


def compiled(decoding: Decoding, num_new: int | None = None, special: SpecialTokens = SPECIAL):
  """(model, requests) -> hypotheses as NumPy arrays, compiled in a hurry."""
  run = lambda model, requests: decode(model, requests, decoding, special, num_new or decoding.max_new_tokens)
  fast = quick(run)
  return lambda model, requests: jax.device_get(fast(model, requests))


def quick(function, *static):
  """The function of arrays, compiled with few optimizations: half the time; further arguments are fixed."""
  return jax.jit(lambda *arrays: function(*arrays, *static), compiler_options={"xla_backend_optimization_level": 0})


def requests(prompts, limits, inputs=None, seed: int = 0) -> Requests:
  """Of unequal prompts; a key for each place in the batch."""
  lengths = np.array([len(prompt) for prompt in prompts])
  padded = np.array([[*prompt, *[PAD] * (lengths.max() - len(prompt))] for prompt in prompts])
  keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(prompts)))
  return Requests(inputs=inputs, prompts_BP=padded, lengths_B=lengths, limits_B=np.array(limits), keys_B=keys)


def sentences(values) -> dict[str, np.ndarray]:
  """Inputs of one token each, which set the sentences apart."""
  return {"inputs": np.array(values)[:, None], "lengths": np.ones(len(values), np.int32)}


def said(hypotheses, b: int, n: int = 0) -> list[int]:
  """The tokens of a hypothesis."""
  return hypotheses.tokens_BNS[b, n, :hypotheses.lengths_BN[b, n]].tolist()


def _summary(inputs, width):
  """(B, D): some function of the sentence, padding aside."""
  values_BL = jnp.where(jnp.arange(inputs["inputs"].shape[1]) < inputs["lengths"][:, None], inputs["inputs"], 0)
  return jnp.sin(values_BL.sum(1)[:, None] * (1.0 + jnp.arange(width)))
