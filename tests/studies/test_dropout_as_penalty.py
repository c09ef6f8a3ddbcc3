"""The identity, the case one can do by hand, and a dropout layer that does not rescale, which is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import dropout_as_penalty
from research import config
from research.studies import dropout_as_penalty as body


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def test_one_feature_by_hand():
  # kept with probability 3/4, then x w = 4: (1-4)^2; dropped: 1
  value = body.expected_over_masks(jnp.array([1.5]), jnp.array([2.0]), 1.0, 0.25)
  assert value == pytest.approx(0.75 * 9 + 0.25 * 1)
  assert body.penalized(jnp.array([1.5]), jnp.array([2.0]), 1.0, 0.25) == pytest.approx((1 - 3) ** 2 + 9 / 3)


def test_identity_holds_with_its_gradient():
  study = dropout_as_penalty.experiment()
  loss, w = study.objective(7)
  _, x, y = study._draw(7)
  np.testing.assert_allclose(jax.grad(loss)(w), jax.grad(body.penalized)(w, x, y, study.rate), rtol=1e-12)


def test_layer_agrees_and_a_layer_without_rescaling_does_not(monkeypatch):
  study = config.override(dropout_as_penalty.experiment(), {"samples": 20_000})
  assert study.measure(0, parts=None).metrics["layer_standard_errors"] < 4
  monkeypatch.setattr(body, "dropout", lambda x, rate, key: x * jax.random.bernoulli(key, 1 - rate, x.shape))
  assert study.measure(0, parts=None).metrics["layer_standard_errors"] > 4


def test_rate_of_one_is_refused():
  with pytest.raises(config.ConfigError, match=r"rate=1\.0 must be between"):
    config.override(dropout_as_penalty.experiment(), {"rate": 1.0})
