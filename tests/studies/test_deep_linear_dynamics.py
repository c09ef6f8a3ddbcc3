"""The formula against an ODE, the tree's known strengths, and a network on the formula."""

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from experiments import deep_linear_dynamics
from research import config
from research.studies.deep_linear_dynamics import hierarchy, mode_strength


def test_strengths_of_the_tree():
  s = np.linalg.svd(hierarchy(3) / np.sqrt(8), compute_uv=False)
  np.testing.assert_allclose(s, [1.369, 0.935, 0.612, 0.612] + 4 * [0.354], atol=1e-3)


def test_formula_solves_the_mode_equation():
  t = np.linspace(0, 1_000, 20)
  flow = solve_ivp(lambda t, u: 2 / 100 * u * (0.9 - u), (0, 1_000), [1e-3], t_eval=t, rtol=1e-10, atol=1e-12)
  np.testing.assert_allclose(mode_strength(t, 0.9, 1e-3, 100.0), flow.y[0], rtol=1e-6)


def test_network_follows_the_formula_and_no_other():
  with jax.enable_x64(True):
    study = config.override(deep_linear_dynamics.experiment(), {"tree_depth": 2, "num_hidden": 5})
    metrics = study.measure(3, parts=None).metrics
  assert metrics["deviation"] < 0.01
  assert metrics["modes_out_of_order"] == 0
  assert metrics["deviation_halved_exponent"] > 0.3
  assert metrics["deviation_random_weights"] > 0.1


def test_too_few_hidden_units_are_refused():
  with pytest.raises(config.ConfigError, match="num_hidden=4 must be at least the number of items, 8"):
    config.override(deep_linear_dynamics.experiment(), {"num_hidden": 4})
