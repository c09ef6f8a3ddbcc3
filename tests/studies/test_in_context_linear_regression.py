"""An answer never sees its own target, least squares is exact once it can be, and tokens alternate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import in_context_linear_regression
from research import config
from research.studies.in_context_linear_regression import interleaved, least_squares

STUDY = in_context_linear_regression.experiment()


def test_tokens_alternate_and_the_last_target_is_not_among_them():
  x, y = jnp.arange(12.0).reshape(1, 3, 4), jnp.array([[20.0, 21, 22]])
  tokens = interleaved(x, y)
  assert tokens.shape == (1, 5, 4)
  np.testing.assert_array_equal(tokens[0, ::2], x[0])
  np.testing.assert_array_equal(tokens[0, 1::2], [[20, 0, 0, 0], [21, 0, 0, 0]])


def test_least_squares_is_exact_from_as_many_examples_as_inputs_on():
  x, y = STUDY._tasks(jax.random.key(0), 5_000)
  error = ((least_squares(x, y) - np.asarray(y)) ** 2).mean(0) / 5
  np.testing.assert_allclose(error[:5], 1 - np.arange(5) / 5, atol=0.06)
  assert np.all(error[5:] < 1e-4)


@pytest.mark.heavy
def test_short_training_uses_the_examples():
  study = config.override(STUDY, {"num_inputs": 2, "num_examples": 5, "steps": 2_000, "evaluate_every": 1_000})
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["error_4"] < 0.3 * metrics["untrained_error"] and metrics["below_least_squares"] < 0.02
