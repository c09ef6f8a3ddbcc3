"""What the rows have said so far, and how every search begins.

Shapes: B sentences, R rows, P prompt, S new tokens, C = P + S columns.
"""

import jax
import jax.numpy as jnp

from research.decoding.base import Decodable, Hypotheses, Requests, State
from research.decoding.constraints import NONE


def begin(model: Decodable, requests: Requests, num_new: int, num_rows: int) -> tuple[State, jax.Array]:
  """Feeds the prompts but for their last tokens, once a sentence, then gives each sentence its rows.

  Args:
    model: what decodes.
    requests: of B sentences.
    num_new: S.
    num_rows: of each sentence.

  Returns:
    The state, and history_RC, in which prompts end flush: all rows write their next token into the same column.
  """
  prompts_BP, lengths_B = requests.prompts_BP, requests.lengths_B
  num_sentences, width = prompts_BP.shape
  state = model.start(requests.inputs, num_sentences, width + num_new - 1)
  if width > 1:
    _, state = model.step(state, prompts_BP[:, :-1], lengths_B - 1)
  state = state.expand(num_rows)
  at_BP = jnp.arange(width) - (width - lengths_B)[:, None]
  flush_BP = jnp.where(at_BP < 0, NONE, jnp.take_along_axis(prompts_BP, jnp.maximum(at_BP, 0), 1))
  history_BC = jnp.pad(flush_BP.astype(jnp.int32), ((0, 0), (0, num_new)), constant_values=NONE)
  return state, jnp.repeat(history_BC, num_rows, 0)


def write(history: jax.Array, tokens: jax.Array, column: jax.Array) -> jax.Array:
  """History (..., C) with the tokens (...) in one column."""
  return jax.lax.dynamic_update_slice_in_dim(history, tokens[..., None], column, axis=-1)


def finish(tokens_BNS: jax.Array, lengths_BN: jax.Array, scores_BN: jax.Array, pad: int) -> Hypotheses:
  """Puts padding behind the ends; a row that filled the batch has nothing."""
  said = jnp.arange(tokens_BNS.shape[-1]) < lengths_BN[..., None]
  return Hypotheses(tokens_BNS=jnp.where(said, tokens_BNS, pad), lengths_BN=lengths_BN,
                    scores_BN=jnp.where(lengths_BN > 0, scores_BN, -jnp.inf))


def among(tokens: jax.Array, ends: tuple[int, ...]) -> jax.Array:
  """Whether each token is one of these."""
  return (tokens[..., None] == jnp.array(ends, tokens.dtype)).any(-1)
