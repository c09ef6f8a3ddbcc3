"""The construction is a gradient step, the best step size is the best, and training comes near it."""

import jax
import numpy as np
import pytest

from experiments import in_context_gradient_descent
from research import config
from research.studies.in_context_gradient_descent import attend, best_rate, construction, descent

STUDY = in_context_gradient_descent.experiment()


@pytest.fixture(scope="module")
def tasks():
  tokens, y = map(np.asarray, STUDY._tasks(jax.random.key(0), 20_000))
  return tokens, y, np.asarray(descent(tokens, 0.1))


def test_construction_is_a_step_of_gradient_descent_from_zero(tasks):
  tokens, _, answers = tasks
  x, y, query = tokens[:, :-1, :-1], tokens[:, :-1, -1], tokens[:, -1, :-1]
  gradient = -np.einsum("bn,bnd->bd", y, x)  # of ½Σ(y − w·x)² at w = 0
  np.testing.assert_allclose(answers, -0.1 * np.sum(gradient * query, axis=1), rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(answers, attend(construction(10, 0.1), tokens), rtol=1e-3, atol=1e-4)


def test_best_rate_is_best(tasks):
  _, y, answers = tasks
  assert best_rate(10, 10) == pytest.approx(0.1 * np.mean(answers * y) / np.mean(answers**2), rel=0.03)


def test_the_query_token_does_not_hold_its_answer(tasks):
  tokens, y, _ = tasks
  assert np.all(tokens[:, -1, -1] == 0) and np.std(y) > 1


@pytest.mark.heavy
def test_training_a_small_layer_comes_near_the_step():
  study = config.override(STUDY, {"num_inputs": 3, "num_examples": 6, "steps": 1_500, "evaluate_every": 500, "num_test": 4_000,
                                  "batch_size": 256, "init_deviation": 0.2, "optimizer.learning_rate": 3e-3})
  metrics = study.measure(0, parts=None).metrics
  assert 0.98 < metrics["loss_over_descent"] < 1.05
  assert metrics["untrained_over_descent"] > 1.2 and metrics["half_rate_over_descent"] > 1.02
