"""Chains are stationary, strategies count what they should, relative positions are where they belong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import statistical_induction_heads
from research import config
from research.studies.statistical_induction_heads import by_lag, chains, predictions


def test_strategies_count():
  said = predictions(jnp.array([[0, 1, 0, 1, 0, 2, 0]]), 3)
  np.testing.assert_allclose(said["unigram"][0, -1], np.array([5, 3, 2]) / 10, rtol=1e-6)
  np.testing.assert_allclose(said["bigram"][0, -1], np.array([1, 3, 2]) / 6, rtol=1e-6)  # 0 was followed by 1, 1, 2
  np.testing.assert_allclose(said["bigram"][0, 0], 1 / 3, rtol=1e-6)


def test_bigrams_predict_chains_better_than_unigrams_which_do_better_than_nothing():
  states = chains(jax.random.key(0), 500, 101, 3)
  assert states.shape == (500, 101) and set(np.unique(states)) == {0, 1, 2}
  said, after = predictions(states[:, :-1], 3), np.asarray(states)[:, 1:, None]
  nats = {name: -np.log(np.take_along_axis(np.asarray(p), after, axis=2)).mean() for name, p in said.items()}
  assert nats["bigram"] < nats["unigram"] - 0.05 < nats["uniform"] - 0.1


def test_chains_begin_as_they_go_on():
  states = np.asarray(chains(jax.random.key(1), 20_000, 30, 2))
  same = lambda t: np.mean(states[:, 0] == states[:, t])
  agree = np.mean(states[:, 20] == states[:, 29])
  assert abs(same(9) - agree) < 0.015  # of a chain that starts uniform, the first state tells less


def test_scores_by_lag():
  scores = jnp.arange(9.0).reshape(1, 3, 3)  # row t: lags 2, 1, 0
  out = by_lag(scores)[0]
  for t in range(3):
    for s in range(t + 1):
      assert out[t, s] == scores[0, t, 2 - (t - s)]


@pytest.mark.heavy
def test_unigrams_come_before_bigrams():
  study = config.override(statistical_induction_heads.experiment(), {"depths": (2,), "steps": 400, "length": 50})
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["unigram_early_2"] < metrics["bigram_early_2"] and metrics["bigram_late_2"] < metrics["unigram_late_2"]
