"""The cheapest way through a table of costs that never goes back: which moments of a sound belong to which token.

Shapes: B tables, T tokens, S moments, D = T + S − 1 diagonals.
"""

import jax
import jax.numpy as jnp

_FAR = 1e30  # a cost that is never the cheaper: finite, as the difference of two infinities is no number
_BOTH, _TOKEN, _MOMENT = 0, 1, 2  # what a step of the way goes on by


def first_moments(costs_BTS: jax.Array, tokens_B: jax.Array, moments_B: jax.Array) -> jax.Array:
  """The first moment (B, T) of each token on the way from (0, 0) to (tokens − 1, moments − 1) whose costs add up to the least.

  A step goes on by a token, a moment, or both; of two that cost the same the one by a moment is taken, as OpenAI's Whisper does
  ("dynamic time warping", Sakoe, Chiba 1978).

  Args:
    costs_BTS: of each token in each moment.
    tokens_B, moments_B: how many count, at least one.

  Returns:
    Integers; 0 where a token does not count.
  """
  num_tokens, num_moments = costs_BTS.shape[1:]
  at_T = jnp.arange(num_tokens)
  shift = lambda x_BT: jnp.pad(x_BT[:, :-1], ((0, 0), (1, 0)), constant_values=_FAR)

  def forward(carry, diagonal):
    before_BT, last_BT = carry  # of the diagonal before the last, and of the last
    moment_T = diagonal - at_T
    inside_T = (moment_T >= 0) & (moment_T < num_moments)
    costs_BT = costs_BTS[:, at_T, jnp.clip(moment_T, 0, num_moments - 1)]
    both_BT, token_BT, moment_BT = shift(before_BT), shift(last_BT), last_BT
    is_both_BT = (both_BT < token_BT) & (both_BT < moment_BT)
    is_token_BT = (token_BT < both_BT) & (token_BT < moment_BT)
    best_BT = jnp.where(is_both_BT, both_BT, jnp.where(is_token_BT, token_BT, moment_BT))
    best_BT = jnp.where((at_T == 0) & (diagonal == 0), 0, best_BT)
    found_BT = jnp.where(inside_T, jnp.minimum(costs_BT + best_BT, _FAR), _FAR)
    return (last_BT, found_BT), jnp.where(is_both_BT, _BOTH, jnp.where(is_token_BT, _TOKEN, _MOMENT)).astype(jnp.int8)

  nothing_BT = jnp.full(costs_BTS.shape[:2], _FAR, costs_BTS.dtype)
  num_diagonals = num_tokens + num_moments - 1
  _, steps_DBT = jax.lax.scan(forward, (nothing_BT, nothing_BT), jnp.arange(num_diagonals))

  def backward(carry, diagonal):
    token_B, on_B, first_BT = carry  # where the way is, and on which diagonal
    here_B = diagonal == on_B
    moment_B = on_B - token_B
    first_BT = jnp.where(here_B[:, None] & (at_T == token_B[:, None]), moment_B[:, None], first_BT)
    step_B = jnp.take_along_axis(steps_DBT[diagonal], token_B[:, None], 1)[:, 0]
    # Along an edge of the table there is one way.
    step_B = jnp.where(token_B == 0, _MOMENT, jnp.where(moment_B == 0, _TOKEN, step_B))
    token_next_B = token_B - (step_B != _MOMENT)
    on_next_B = on_B - jnp.where(step_B == _BOTH, 2, 1)
    return (jnp.where(here_B, token_next_B, token_B), jnp.where(here_B, on_next_B, on_B), first_BT), None

  start = tokens_B - 1, tokens_B + moments_B - 2, jnp.zeros(costs_BTS.shape[:2], jnp.int32)
  (*_, first_BT), _ = jax.lax.scan(backward, start, jnp.arange(num_diagonals)[::-1])
  return first_BT
