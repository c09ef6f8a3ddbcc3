"""All examples make gradient descent, the best rate wins, and batches are taken as said."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import InMemory

from experiments import batch_size_scaling
from research import config
from research.studies.base import Findings
from research.studies.batch_size_scaling import _search, loss

SMALL = {"batch_sizes": (16, 64), "limits": (300, 200), "rates": (-2, 1), "num_train": 64, "num_hidden": 16}


def study(**changes):
  return config.override(batch_size_scaling.experiment(), SMALL | changes)


def test_search_stops_where_plain_training_of_the_best_rate_does():
  params, x, y = study()._problem(0)
  order = jnp.tile(jnp.arange(64), (200, 1))
  step, losses = _search(params, jnp.array([0.01, 0.5]), x, y, order, 0.5)
  gradient, count = jax.jit(jax.grad(loss)), 0
  while loss(params, x, y) >= 0.5:
    params = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient(params, x, y))
    count += 1
  assert (int(step), int(jnp.argmin(losses))) == (count, 1)
  assert losses[1] < 0.5 < losses[0]


def test_batches_of_everything_do_not_depend_on_their_order():
  params, x, y = study()._problem(0)
  step, _ = _search(params, 2.0 ** jnp.arange(-2, 2), x, y, jnp.tile(jnp.arange(64), (200, 1)), study().target_loss)
  assert study()._steps(seed=0, batch_size=64)[0] == float(step) < 200
  assert study(sampling="replacement")._steps(seed=0, batch_size=64)[0] != float(step)


def test_a_limit_that_is_too_short_is_infinite():
  assert study(limits=(2, 2)).measure(0, InMemory()).metrics["steps_64"] == math.inf


def test_epochs_show_every_example_equally_often_and_replacement_does_not():
  rng = np.random.default_rng(0)
  assert set(np.bincount(study()._order(rng, 64 * 3))) == {3}
  assert len(set(np.bincount(study(sampling="replacement")._order(rng, 64 * 3), minlength=64))) > 1


def test_conclusion_is_on_medians():
  found = {seed: Findings(metrics={"steps_16": steps, "steps_64": 50.0, "rate_exponent_16": 0.0, "rate_exponent_64": edge})
           for seed, steps, edge in ((0, 100.0, 0.0), (1, 101.0, 1.0), (2, 9_000.0, 0.0))}
  metrics = study().conclude(found).metrics
  assert metrics["floor"] == 50 / 101
  assert metrics["spread_over_all"] == (50 * 64) / (101 * 16)
  assert metrics["rates_at_the_edge"] == 1


def test_every_batch_size_has_a_limit():
  with pytest.raises(config.ConfigError, match="limits=\\(1,\\): give one for each of the 2 batch sizes"):
    study(limits=(1,))
