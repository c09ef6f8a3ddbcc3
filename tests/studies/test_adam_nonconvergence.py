"""The two methods part on the paper's costs, agree where nothing is forgotten, and follow the update by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adam_nonconvergence
from research import config


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def run(slopes=None, **changes):
  study = config.override(adam_nonconvergence.experiment(), changes)
  x, regret = study._run(study._slopes("online", 0) if slopes is None else jnp.asarray(slopes, jnp.float64))
  return np.asarray(x), np.asarray(regret)


def test_adam_goes_up_and_amsgrad_down():
  x, regret = run(online_steps=50_500, learning_rate=2.0)
  assert x[-1, 0] > 0.95 and x[-1, 1] < 0
  assert regret[-1, 0] > regret[-1, 1]


def test_without_a_rare_slope_both_reach_the_optimum():
  x, regret = run(slopes=np.full(2_000, 10.0))
  np.testing.assert_allclose(x[-1], -1)
  assert (regret[-1] < 0.2).all()


def test_one_step_by_hand():
  x, regret = run(slopes=[1010.0])
  np.testing.assert_allclose(x[0], 2 * [-0.5 * 101 / np.sqrt(0.01 * 1010**2)], rtol=1e-12)
  np.testing.assert_allclose(regret[0], 2 * [1010.0])


def test_amsgrad_keeps_the_largest_second_moment():
  slopes = np.random.default_rng(0).normal(size=20)
  x, _ = run(slopes=slopes, learning_rate=0.01)
  expected, m, v, v_max = 0.0, 0.0, 0.0, 0.0
  for t, g in enumerate(slopes, 1):
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    v_max = max(v_max, v)
    expected = np.clip(expected - 0.01 / np.sqrt(t) * m / np.sqrt(v_max + 1e-16), -1, 1)
    np.testing.assert_allclose(x[t - 1, 1], expected, rtol=1e-10)
