"""The sequences repeat, the scores find heads made by hand, and one layer is worse than two."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import induction_heads
from research import config
from research.studies.induction_heads import prefix_match, previous_token, repeated


def test_sequences_repeat_with_periods_of_their_own():
  tokens = np.asarray(repeated(jax.random.key(0), 200, 48, 1_000, (8, 24)))
  shortest = [next(p for p in range(1, 48) if np.array_equal(row[p:], row[:-p])) for row in tokens]
  assert min(shortest) == 8 and max(shortest) == 24 and len(set(shortest)) == 17


def test_scores_of_heads_made_by_hand():
  tokens = jnp.array([[5, 6, 7, 5, 6, 7]])
  looks_at = lambda positions: jax.nn.one_hot(jnp.array(positions), 6)[None]
  weights = jnp.stack([looks_at([0, 1, 2, 1, 2, 3]), looks_at([0, 0, 1, 2, 3, 4])], axis=1)  # induction, previous token
  np.testing.assert_allclose(prefix_match(weights, tokens, 3), [1, 0])
  np.testing.assert_allclose(previous_token(weights), [0, 1])


@pytest.mark.heavy
def test_two_layers_learn_what_one_cannot():
  study = config.override(induction_heads.experiment(), {
      "vocab_size": 16, "length": 24, "periods": (4, 12), "steps": 1_500, "optimizer.learning_rate": 3e-3})
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["second_half_2"] < 0.5 < 1 < metrics["second_half_1"]
