"""Greedy decoding and sampling: each row goes its own way.

Shapes: B sentences, N samples of a sentence, R = B·N rows, P prompt, S new tokens, C = P + S columns, V vocabulary, K cut.
"""

import jax
import jax.numpy as jnp

from research.decoding.base import Decodable, Hypotheses, Requests, SpecialTokens
from research.decoding.candidates import argmax, draw, nucleus, top_k
from research.decoding.history import among, begin, finish, write
from research.decoding.settings import AsRequested, Decoding, Greedy, Sampling


def decode_single(model: Decodable, requests: Requests, decoding: Decoding, special: SpecialTokens,
                  num_new: int) -> Hypotheses:
  """As `research.decoding.decoder.decode`, for `Greedy`, `Sampling` and `AsRequested`."""
  search = decoding.search
  assert isinstance(search, Greedy | Sampling | AsRequested)
  num_sentences, width = requests.prompts_BP.shape
  state, history_RC = begin(model, requests, num_new, search.num_rows)
  limits_R = jnp.repeat(requests.limits_B, search.num_rows)
  samples_N = jnp.arange(search.num_rows)
  keys_R = jax.vmap(lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, samples_N))(requests.keys_B).reshape(-1)

  def going(carry):
    t, done_R, *_ = carry
    return (t < num_new) & ~done_R.all()

  def step(carry):
    t, done_R, lengths_R, totals_R, history_RC, state = carry
    column = width + t
    last_R = jax.lax.dynamic_index_in_dim(history_RC, column - 1, axis=1, keepdims=False)
    logits_RV, state = model.step(state, last_R[:, None])
    logits_RV = logits_RV.astype(jnp.float32)
    scores_RV = decoding.constraints.apply(logits_RV, history_RC, column, t, limits_R, special.end)
    keys_at_R = jax.vmap(jax.random.fold_in, (0, None))(keys_R, t)
    if isinstance(search, Greedy):
      tokens_R = argmax(scores_RV)
    elif isinstance(search, Sampling):
      tokens_R = sample(scores_RV, keys_at_R, search)
    else:
      assert requests.temperatures_B is not None and requests.top_p_B is not None
      tokens_R = as_requested(scores_RV, keys_at_R, requests.temperatures_B, requests.top_p_B)
    rated_RV = scores_RV if isinstance(search, AsRequested) else logits_RV
    picked_R = jnp.take_along_axis(rated_RV, tokens_R[:, None], 1)[:, 0] - jax.nn.logsumexp(rated_RV, -1)
    totals_R += jnp.where(done_R, 0, picked_R)
    lengths_R += ~done_R
    history_RC = write(history_RC, jnp.where(done_R, special.pad, tokens_R), column)
    done_R |= among(tokens_R, special.end) | (t + 1 >= limits_R)
    return t + 1, done_R, lengths_R, totals_R, history_RC, state

  num_rows = limits_R.shape[0]
  start = (jnp.int32(0), limits_R <= 0, jnp.zeros(num_rows, jnp.int32), jnp.zeros(num_rows, jnp.float32), history_RC, state)
  _, _, lengths_R, totals_R, history_RC, _ = jax.lax.while_loop(going, step, start)
  by_sentence = lambda x_R: x_R.reshape(num_sentences, search.num_rows, *x_R.shape[1:])
  return finish(by_sentence(history_RC[:, width:]), by_sentence(lengths_R), by_sentence(totals_R), special.pad)


def sample(scores_RV: jax.Array, keys_R: jax.Array, settings: Sampling) -> jax.Array:
  """A token for each row, by one random number of the row's own key.

  Args:
    scores_RV: logits, −inf where a token may not come.
    keys_R: of these rows at this position.
    settings: temperature and cuts.
  """
  uniform_R = jax.vmap(jax.random.uniform)(keys_R)
  if settings.top_k is None or settings.top_k >= scores_RV.shape[1]:
    weights_RV = jnp.exp((scores_RV - scores_RV.max(-1, keepdims=True)) / settings.temperature)
    if settings.top_p < 1:
      weights_RV = jnp.where(nucleus(weights_RV, settings.top_p), weights_RV, 0)
    return draw(jnp.where(weights_RV >= settings.min_p, weights_RV, 0), uniform_R)
  best_RK, tokens_RK = top_k(scores_RV, settings.top_k)
  weights_RK = jnp.exp((best_RK - best_RK[:, :1]) / settings.temperature)
  before_RK = jnp.cumsum(weights_RK, -1) - weights_RK
  kept_RK = (before_RK < settings.top_p * weights_RK.sum(-1, keepdims=True)) & (weights_RK >= settings.min_p)
  return jnp.take_along_axis(tokens_RK, draw(jnp.where(kept_RK, weights_RK, 0), uniform_R)[:, None], 1)[:, 0]


def as_requested(scores_RV: jax.Array, keys_R: jax.Array, temperatures_R: jax.Array, top_p_R: jax.Array) -> jax.Array:
  """As `sample`, each row with settings of its own; where the temperature is 0 the most probable token."""

  def drawn():
    warm_R1 = jnp.where(temperatures_R > 0, temperatures_R, 1)[:, None]
    weights_RV = jnp.exp((scores_RV - scores_RV.max(-1, keepdims=True)) / warm_R1)
    return draw(jnp.where(nucleus(weights_RV, top_p_R), weights_RV, 0), jax.vmap(jax.random.uniform)(keys_R))

  greedy_R = argmax(scores_RV)
  drawn_R = jax.lax.cond((temperatures_R > 0).any(), drawn, lambda: greedy_R)
  return jnp.where(temperatures_R > 0, drawn_R, greedy_R)
