"""The two parametrisations differ where they should, and a planted mistake in muP is seen by the slopes."""

import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import mup_coordinate_check
from research import config


def small():
  return config.override(mup_coordinate_check.experiment(), {"widths": (64, 512), "steps": 2})


def test_only_the_output_starts_smaller_in_mup():
  standard, mup = (small()._initial(0, 256, p) for p in ("sp", "mup"))
  np.testing.assert_array_equal(standard[0], mup[0])
  np.testing.assert_array_equal(standard[1], mup[1])
  np.testing.assert_allclose(standard[2] / 16, mup[2], rtol=1e-6)


def test_rates_belong_to_their_kernels():
  study = config.override(small(), {"steps": 1, "num_examples": 4})
  x, y = study._data(0)
  kernels = study._initial(0, 64, "mup")
  changes = study._changes(kernels, jnp.array([0.0, 0.0, 0.01]), x, y)
  assert changes[0] == changes[1] == changes[2] == 0
  # 64 hidden values of about 0.6 each times a step of 0.01 in the direction of its sign
  assert 0.05 < changes[3] < 1


def test_slopes_tell_mup_from_the_standard_parametrisation():
  metrics = small().measure(0, InMemory()).metrics
  assert metrics["sp_h2_slope"] > 0.6 and metrics["sp_logits_slope"] > 0.7
  assert all(abs(metrics[f"mup_{layer}_slope"]) < 0.2 for layer in ("h1", "h2", "logits"))


def test_unscaled_rates_in_mup_are_found():
  study = small()
  x, y = study._data(0)
  change = [study._changes(study._initial(0, w, "mup"), jnp.full(3, 0.01), x, y)[1] for w in study.widths]
  assert np.log(change[1] / change[0]) / np.log(8) > 0.6


def test_one_width_is_refused():
  with pytest.raises(config.ConfigError, match="two different widths"):
    config.override(small(), {"widths": (64,)})
