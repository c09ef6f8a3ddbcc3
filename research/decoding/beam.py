"""Beam search with a list of finished hypotheses, token for token as transformers 5 has it (generation/utils.py, _beam_search).

Where that adds −1e9 to what may not be chosen, this has −inf: the same result wherever a sentence has as many continuations as
it has beams, and no hypothesis twice where it has fewer.

Shapes: B sentences, K beams, R = B·K rows, M candidates, P prompt, S new tokens, C = P + S columns, V vocabulary.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from research.decoding.base import Decodable, Hypotheses, Requests, SpecialTokens, State
from research.decoding.candidates import top_k
from research.decoding.history import among, begin, finish, write
from research.decoding.settings import Beam, Decoding


class _Search(NamedTuple):
  """The beams that go on, sorted by score, and the finished hypotheses, sorted by score over length penalty.

  Attributes:
    t: new tokens so far.
    done_B: sentences that change no more.
    running_BK: sums of log-probabilities; −inf for a beam that is none.
    history_BKC: what the beams have said.
    finished_BK: scores; −inf where there is none yet.
    lengths_BK: the finished ones' new tokens.
    texts_BKC: what the finished ones said.
    state: of the model.
  """

  t: jax.Array
  done_B: jax.Array
  running_BK: jax.Array
  history_BKC: jax.Array
  finished_BK: jax.Array
  lengths_BK: jax.Array
  texts_BKC: jax.Array
  state: State


def decode_beam(model: Decodable, requests: Requests, decoding: Decoding, special: SpecialTokens, num_new: int) -> Hypotheses:
  """As `research.decoding.decoder.decode`, for `Beam`."""
  beam = decoding.search
  assert isinstance(beam, Beam)
  num_sentences, width = requests.prompts_BP.shape
  k, limits_B = beam.num_beams, requests.limits_B
  limits_R = jnp.repeat(limits_B, k)
  num_candidates = max(2, 1 + len(special.end)) * k  # so that k are left to go on, whatever ends

  def step(s: _Search) -> _Search:
    column = width + s.t
    history_RC = s.history_BKC.reshape(-1, width + num_new)
    last_R = jax.lax.dynamic_index_in_dim(history_RC, column - 1, axis=1, keepdims=False)
    logits_RV, state = model.step(s.state, last_R[:, None])
    logits_RV = logits_RV.astype(jnp.float32)
    vocabulary = logits_RV.shape[1]
    scores_RV = logits_RV - jax.nn.logsumexp(logits_RV, -1, keepdims=True)
    scores_RV = decoding.constraints.apply(scores_RV, history_RC, column, s.t, limits_R, special.end)
    totals_RV = scores_RV + s.running_BK.reshape(-1, 1)

    # The best of each row, then of those the sentence's: rows of a vocabulary laid end to end would be no plain vector code.
    rows_RM, tokens_RM = top_k(totals_RV, min(num_candidates, vocabulary))
    best_BM, at_BM = top_k(rows_RM.reshape(num_sentences, -1), min(num_candidates, k * vocabulary))
    parents_BM, tokens_BM = at_BM // rows_RM.shape[1], _pick(tokens_RM.reshape(num_sentences, -1), at_BM)
    ends_BM = among(tokens_BM, special.end) | (s.t + 1 >= limits_B)[:, None]

    running_BK, chosen_BK = top_k(jnp.where(ends_BM, -jnp.inf, best_BM), k)
    from_BK, next_BK = _pick(parents_BM, chosen_BK), _pick(tokens_BM, chosen_BK)
    history_BKC = write(_pick(s.history_BKC, from_BK), next_BK, column)

    # Only what ends among the first k counts; the other candidates are there so that k go on.
    ending_BM = ends_BM & (jnp.arange(ends_BM.shape[1]) < k) & ~s.done_B[:, None]
    ended_BM = jnp.where(ending_BM, best_BM / beam.penalty(s.t + 1), -jnp.inf)
    finished_BK, kept_BK = top_k(jnp.concatenate([s.finished_BK, ended_BM], 1), k)
    new_BK, candidate_BK = kept_BK >= k, jnp.maximum(kept_BK - k, 0)
    source_BK = jnp.where(new_BK, k + _pick(parents_BM, candidate_BK), kept_BK)
    texts_BKC = _pick(jnp.concatenate([s.texts_BKC, s.history_BKC], 1), source_BK)
    at_column_BK = jax.lax.dynamic_index_in_dim(texts_BKC, column, axis=2, keepdims=False)
    texts_BKC = write(texts_BKC, jnp.where(new_BK, _pick(tokens_BM, candidate_BK), at_column_BK), column)
    lengths_BK = jnp.where(new_BK, s.t + 1, _pick(s.lengths_BK, jnp.minimum(kept_BK, k - 1)))

    done_B = s.done_B | (s.t + 1 >= limits_B) | ~_can_improve(beam, running_BK[:, 0], finished_BK[:, -1], s.t + 1, limits_B)
    rows_R = (jnp.arange(num_sentences)[:, None] * k + from_BK).reshape(-1)
    return _Search(s.t + 1, done_B, running_BK, history_BKC, finished_BK, lengths_BK, texts_BKC, state.reorder(rows_R))

  state, history_RC = begin(model, requests, num_new, k)
  history_BKC = history_RC.reshape(num_sentences, k, -1)
  nothing_BK = jnp.full((num_sentences, k), -jnp.inf)
  start = _Search(t=jnp.int32(0), done_B=limits_B <= 0, running_BK=nothing_BK.at[:, 0].set(0), history_BKC=history_BKC,
                  finished_BK=nothing_BK, lengths_BK=jnp.zeros_like(nothing_BK, jnp.int32), texts_BKC=history_BKC, state=state)
  s = jax.lax.while_loop(lambda s: (s.t < num_new) & ~s.done_B.all(), step, start)
  n = beam.num_best
  lengths_BN = jnp.where(jnp.isfinite(s.finished_BK), s.lengths_BK, 0)[:, :n]
  return finish(s.texts_BKC[:, :n, width:], lengths_BN, s.finished_BK[:, :n], special.pad)


def _pick(x_BM, at_BK):
  """Entries of each sentence: (B, M, ...) at (B, K) to (B, K, ...)."""
  at = at_BK.reshape(*at_BK.shape, *(1,) * (x_BM.ndim - 2))
  return jnp.take_along_axis(x_BM, at, 1, mode="promise_in_bounds")


def _can_improve(beam: Beam, best_B, worst_B, num_tokens, limits_B):
  """Whether a running beam may yet enter the finished ones; their worst is −inf where there are fewer than K."""
  if beam.early_stopping is True:
    return (worst_B == -jnp.inf) & (best_B > -jnp.inf)
  at_best = limits_B if beam.early_stopping == "never" and beam.alpha > 0 else num_tokens
  return best_B / beam.penalty(at_best) > worst_B
