"""The estimator is the pseudo-inverse's, the formula has the known corners, and small problems follow it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import ridgeless_risk
from research import config
from research.studies.ridgeless_risk import min_norm, predicted_risk


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_minimum_norm_is_the_pseudo_inverse(shape):
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=shape), rng.normal(size=shape[0])
  np.testing.assert_allclose(min_norm(jnp.asarray(x), jnp.asarray(y)), np.linalg.pinv(x) @ y, rtol=1e-8)


def test_formula():
  assert predicted_risk(0.5, 5, 1) == 1  # as many degrees of freedom left as used
  assert predicted_risk(2, 5, 1) == 2.5 + 1
  assert predicted_risk(1e6, 5, 1) == pytest.approx(5, rel=1e-5)  # nothing is learnt


def test_small_problems_follow_the_formula_and_no_other():
  study = config.override(ridgeless_risk.experiment(), {"gammas": (0.5, 2.0, 4.0), "num_examples": 60, "draws": 60})
  metrics = study.measure(0, InMemory()).metrics
  for gamma in ("0.5", "2", "4"):
    assert metrics[f"ratio_{gamma}"] == pytest.approx(1, abs=0.15)
  assert metrics["classical_ratio_2"] < 0 and metrics["variance_only_ratio_2"] > 2


def test_as_many_features_as_examples_are_refused():
  with pytest.raises(config.ConfigError, match="where the risk has no limit"):
    config.override(ridgeless_risk.experiment(), {"gammas": (1.0,)})
