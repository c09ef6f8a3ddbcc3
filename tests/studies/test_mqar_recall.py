"""Each sequence asks once for each pair, and filters are causal convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import mqar_recall
from research import config
from research.studies.mqar_recall import filtered, gated_convolutions, recall


def test_sequences_ask_once_for_each_pair():
  tokens, answers = (np.asarray(x) for x in recall(jax.random.key(0), 50, 64, 256, 8, 0.01))
  for row, wanted in zip(tokens, answers):
    pairs = dict(zip(row[:16:2], row[1:16:2]))
    asked = np.flatnonzero(wanted >= 0)
    assert len(pairs) == len(set(pairs.values())) == len(asked) == 8
    assert asked.min() >= 16 and np.all(asked % 2 == 0)
    assert {row[t]: wanted[t] for t in asked} == pairs
    assert max(pairs) < 128 <= min(pairs.values()) and row.min() == 0
    assert np.all(np.delete(row[16:], asked - 16) == 0)
  assert (answers[:, 16] >= 0).mean() > 0.8 > 0.4 > (answers[:, 62] >= 0).mean()


def test_filters_are_causal_convolutions():
  rng = np.random.default_rng(0)
  x, taps = rng.normal(size=(2, 7, 3)), rng.normal(size=(4, 3))
  want = np.stack([[np.convolve(x[b, :, d], taps[:, d])[:7] for d in range(3)] for b in range(2)]).swapaxes(1, 2)
  np.testing.assert_allclose(jax.jit(filtered)(x, taps), want, atol=1e-5)


def test_convolutions_see_nothing_that_comes_later():
  network, params = gated_convolutions(jax.random.key(0), 2, 4, 8, 6)
  params = jax.tree.map(lambda p: p + 0.5 * jax.random.normal(jax.random.key(p.size), p.shape), params)
  tokens = jnp.array([[1, 2, 3, 4, 5, 6]])
  first, second = map(jax.jit(network(params)), (tokens, tokens.at[0, 4].set(7)))
  np.testing.assert_allclose(first[:, :4], second[:, :4], atol=1e-5)
  assert np.abs(first[:, 4:] - second[:, 4:]).max() > 1e-3


@pytest.mark.heavy
def test_attention_recalls_a_few_pairs():
  metrics = config.override(mqar_recall.experiment(), {
      "vocab_size": 32, "length": 16, "num_pairs": 2, "attention_dims": (32,), "steps": 1_500}).measure(0, InMemory()).metrics
  assert metrics["attention_32_accuracy"] >= 0.99 and metrics["attention_32_steps"] < 1_500
