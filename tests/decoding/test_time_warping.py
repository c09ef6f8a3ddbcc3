"""The cheapest way is that of trying all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.decoding.time_warping import first_moments


def cheapest(costs):
  """(cost, first moment of each token) of the best way, by going through all of them."""
  num, last = costs.shape[0] - 1, costs.shape[1] - 1

  @functools.cache
  def way(i, j):
    if i == j == 0:
      return costs[0, 0], (0,)
    ways = [way(i - a, j - b) for a, b in ((1, 1), (1, 0), (0, 1)) if i >= a and j >= b]
    cost, firsts = min(ways, key=lambda found: found[0])
    return cost + costs[i, j], firsts if len(firsts) > i else (*firsts, j)

  return way(num, last)


@pytest.mark.parametrize("tokens, moments", [(1, 1), (1, 6), (4, 1), (4, 9), (6, 4), (5, 5)])
def test_the_way_is_the_cheapest_whatever_stands_behind_it(tokens, moments):
  costs = np.random.default_rng(tokens * 10 + moments).normal(size=(2, 7, 11)).astype(np.float32)
  found = np.asarray(jax.jit(first_moments)(costs, np.array([tokens, 7]), np.array([moments, 11])))
  assert found[0, :tokens].tolist() == list(cheapest(costs[0, :tokens, :moments])[1]) and not found[0, tokens:].any()
  assert found[1].tolist() == list(cheapest(costs[1])[1])


def test_a_clear_diagonal_is_found():
  costs = np.ones((1, 3, 9), np.float32)
  for token, moments in enumerate((slice(0, 2), slice(2, 6), slice(6, 9))):
    costs[0, token, moments] = -1
  assert first_moments(jnp.asarray(costs), np.array([3]), np.array([9])).tolist() == [[0, 2, 6]]
