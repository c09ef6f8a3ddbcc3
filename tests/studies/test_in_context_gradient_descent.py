"""The construction is a gradient step, the best step size is the best, and training comes near it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import in_context_gradient_descent
from research import config
from research.studies.in_context_gradient_descent import attend, best_rate, construction, descent

STUDY = in_context_gradient_descent.experiment()


def test_construction_is_a_step_of_gradient_descent_from_zero():
  tokens, _ = STUDY._tasks(jax.random.key(0), 4)
  loss = lambda w, tokens: 0.5 * jnp.sum((tokens[:-1, -1] - tokens[:-1, :-1] @ w) ** 2)
  w = -0.1 * jax.vmap(jax.grad(loss), (None, 0))(jnp.zeros(10), tokens)
  want = jnp.einsum("bd,bd->b", w, tokens[:, -1, :-1])
  np.testing.assert_allclose(descent(tokens, 0.1), want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(attend(construction(10, 0.1), tokens), want, rtol=1e-4, atol=1e-5)


def test_best_rate_is_best():
  tokens, y = STUDY._tasks(jax.random.key(1), 200_000)
  answers = descent(tokens, 1.0)
  assert best_rate(10, 10) == pytest.approx(float(jnp.mean(answers * y) / jnp.mean(answers**2)), rel=0.02)


def test_the_query_token_does_not_hold_its_answer():
  tokens, y = STUDY._tasks(jax.random.key(2), 100)
  assert np.all(tokens[:, -1, -1] == 0) and np.std(y) > 1


def test_training_a_small_layer_comes_near_the_step():
  study = config.override(STUDY, {"num_inputs": 3, "num_examples": 6, "steps": 1_500, "evaluate_every": 500, "num_test": 4_000,
                                  "batch_size": 256, "init_deviation": 0.2, "optimizer.learning_rate": 3e-3})
  metrics = study.measure(0, parts=None).metrics
  assert 0.98 < metrics["loss_over_descent"] < 1.05
  assert metrics["untrained_over_descent"] > 1.2 and metrics["half_rate_over_descent"] > 1.02
