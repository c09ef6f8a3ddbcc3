import jax
import numpy as np
import pytest
from toy import quick

from research.decoding.candidates import argmax, draw, nucleus, top_k


def test_top_k_is_that_of_jax_with_ties_and_infinities():
  rng = np.random.default_rng(0)
  for num_scores, k in ((5, 3), (1000, 3), (1024, 1)):  # within one block; with a shorter last block; whole blocks
    x = rng.integers(0, 40, (6, num_scores)).astype(np.float32)
    x[1] = -np.inf
    x[2, :-3] = -np.inf
    x[3] = 7
    x[4, -1] = 99
    values, columns = quick(top_k, k)(x)
    wanted = jax.lax.top_k(x, k)
    np.testing.assert_array_equal(values, wanted[0])
    np.testing.assert_array_equal(columns, wanted[1])
  np.testing.assert_array_equal(quick(argmax)(x), x.argmax(-1))


def test_nucleus_is_the_fewest_that_hold_the_share():
  rng = np.random.default_rng(1)
  weights = np.exp(3 * rng.normal(size=(8, 300))).astype(np.float32)
  weights /= weights.max(-1, keepdims=True)
  weights[0, 5:] = 0
  find = quick(nucleus)
  for share in (0.05, 0.5, 0.93):
    kept = find(weights, share)
    for row, mask in zip(weights, kept):
      falling = np.sort(row.astype(np.float64))[::-1]
      fewest = np.searchsorted(np.cumsum(falling), share * falling.sum()) + 1
      np.testing.assert_array_equal(np.sort(row[mask])[::-1], falling[:fewest])


@pytest.mark.parametrize("num", [7, 300])
def test_draw_turns_evenly_spread_numbers_into_the_distribution(num):
  rng = np.random.default_rng(2)
  weights = rng.random(num).astype(np.float32)
  weights[rng.random(num) < 0.3] = 0
  weights[-2:] = 0
  uniform = (np.arange(5000) + 0.5).astype(np.float32) / 5000
  columns = quick(draw)(np.tile(weights, (5000, 1)), uniform)
  share = np.bincount(columns, minlength=num) / 5000
  assert np.abs(share - weights / weights.sum()).max() < 1.5 / 5000
  assert (np.diff(columns) >= 0).all()


def test_draw_never_takes_what_has_no_weight():
  weights = np.zeros((3, 300), np.float32)
  weights[:, 40] = [1, 1e-30, 1e30]
  ends = np.array([0, np.nextafter(np.float32(1), np.float32(0))], np.float32)
  take = quick(draw)
  for uniform in ends:
    np.testing.assert_array_equal(take(weights, np.full(3, uniform)), 40)
