"""Training in scans is training step by step; it measures when it should and stops when told."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.config import ConfigError
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.studies import scanned

PARAMS = {"w": jnp.array([3.0, -2.0])}
OPTIMIZER = Adam(learning_rate=0.3, schedule=Cosine())


def loss(params, step):
  return jnp.sum((params["w"] - jax.random.normal(jax.random.fold_in(jax.random.key(0), step), (2,))) ** 2)


def train(until=lambda _: False):
  measure = lambda params: {"first": params["w"][0]}
  return scanned.train(loss, PARAMS, OPTIMIZER, steps=20, every=5, measure=measure, until=until)


def test_it_is_training_step_by_step():
  params, adam = PARAMS, optax.adam(lambda t: 0.3 * (1 + jnp.cos(jnp.pi * t / 20)) / 2)
  state, firsts = adam.init(params), [3.0]
  for step in range(20):
    updates, state = adam.update(jax.grad(loss)(params, step), state)
    params = optax.apply_updates(params, updates)
    firsts += [float(params["w"][0])] if step % 5 == 4 else []
  trained, curves = train()
  np.testing.assert_allclose(trained["w"], params["w"], rtol=1e-4)
  np.testing.assert_allclose(curves["first"], firsts, rtol=1e-4)
  np.testing.assert_array_equal(curves["step"], [0, 5, 10, 15, 20])


def test_it_stops_when_told_and_finds_the_first_step():
  whole, part = train()[1], train(until=lambda found: bool(found["first"] < 2.5))[1]
  assert 1 < len(part["step"]) < 5 and part["first"][-1] < 2.5 <= part["first"][-2]
  np.testing.assert_array_equal(part["first"], whole["first"][:len(part["first"])])
  curves = {"step": np.arange(4) * 10, "x": np.array([0.1, 0.5, 0.9, 0.7])}
  assert scanned.first_step(curves, "x", 0.5) == 10 and scanned.first_step(curves, "x", 1) == np.inf


def test_an_interval_must_fit():
  with pytest.raises(ConfigError, match="steps=10: must be a multiple of evaluate_every=3"):
    scanned.check_interval(10, 3)
