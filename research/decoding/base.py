"""What decoding asks of a model, what it is asked for, and what it gives.

Shapes: B sentences, K beams or samples of a sentence, R = B·K rows (row b·K+k), P prompt, T tokens given at once, N
hypotheses of a sentence, S new tokens, V vocabulary.
"""

import dataclasses
from typing import Any, Protocol, Self

import jax


class State(Protocol):
  """What a model keeps of the tokens so far: a pytree of its own, which knows where its leaves have their rows, and which of
  them all beams of a sentence share."""

  def expand(self, num_beams: int) -> Self:
    """Gives each sentence K rows side by side. Called once, also for K = 1, before the first step of one token."""
    ...

  def reorder(self, rows_R: jax.Array) -> Self:
    """Lets row r go on from what was row rows_R[r], always one of the same sentence."""
    ...


class Decodable(Protocol):
  """A model as decoding sees it. All of it runs inside one jit. A cache needs P + S − 1 slots: the last token is never fed."""

  def start(self, inputs: Any, num_rows: int, num_slots: int) -> State:
    """Runs what comes before the first token (an encoder) and makes empty caches.

    Args:
      inputs: arrays with leading dim B, of the model's choosing; None for a language model.
      num_rows: B.
      num_slots: the most tokens that a row will be fed.
    """
    ...

  def step(self, state: State, tokens_RT: jax.Array, lengths_R: jax.Array | None = None) -> tuple[jax.Array, State]:
    """Feeds the tokens that follow what the state has seen.

    Args:
      state: as `start`, `step`, or its own `expand` and `reorder` give it.
      tokens_RT: T = 1 while decoding. A prompt but for its last tokens comes at once, right after `start`, with R = B.
      lengths_R: how many of the T are tokens, from 0 to T, the rest padding on the right; None where all are.

    Returns:
      The logits (R, V) after each row's last token, and the state.
    """
    ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Requests:
  """A batch of sentences to decode.

  Attributes:
    inputs: what the model's `start` takes, leading dim B.
    prompts_BP: the tokens that come before the first new one, at least one each, padded on the right.
    lengths_B: the prompts' lengths.
    limits_B: the most new tokens, the end's token included; 0 for a row that only fills the batch.
    keys_B: a random key each, which sampling draws from.
    temperatures_B, top_p_B: how each is sampled, for `AsRequested`; otherwise None.
  """

  inputs: Any
  prompts_BP: jax.Array
  lengths_B: jax.Array
  limits_B: jax.Array
  keys_B: jax.Array
  temperatures_B: jax.Array | None = None
  top_p_B: jax.Array | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Hypotheses:
  """What was found, the best first for a beam, in the order of drawing for samples.

  Attributes:
    tokens_BNS: the new tokens, the end's included, then padding.
    lengths_BN: how many; 0 where there is no further hypothesis.
    scores_BN: see `Greedy`, `Sampling` and `Beam`; −inf where there is none.
  """

  tokens_BNS: jax.Array
  lengths_BN: jax.Array
  scores_BN: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecialTokens:
  """The vocabulary's numbers that decoding must know.

  Attributes:
    end: each of these ends a hypothesis.
    pad: fills what comes after the end, and is fed to rows that are done.
  """

  end: tuple[int, ...]
  pad: int
