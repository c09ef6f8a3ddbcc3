"""Schedules at their corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError, Duration
from research.optimizers.adam import Adam
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Constant, Cosine, InverseSqrt, Length, Linear, Piecewise

LENGTH = Length(total_steps=100, batch_size=8, steps_per_epoch=10)  # ten steps an epoch


def rates(schedule, steps, length=LENGTH):
  rate = jax.jit(Adam(learning_rate=2.0, schedule=schedule).learning_rates(length))
  return [float(rate(step)) for step in steps]


def close(got, want):
  np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_constant():
  close(rates(Constant(), [0, 50, 99]), [2, 2, 2])


@pytest.mark.parametrize("schedule", [Constant, Linear, Cosine, InverseSqrt])
def test_warmup_is_a_line_that_ends_at_the_peak(schedule):
  close(rates(schedule(warmup=Duration(10)), [0, 4, 9]), [0.2, 1.0, 2.0])


def test_warmup_in_other_units():
  for warmup in (Duration(1, "ep"), Duration(10, "%"), Duration(80, "ex")):
    close(rates(Constant(warmup=warmup), [0, 9, 10]), [0.2, 2, 2])


def test_linear_and_cosine_go_from_peak_to_final():
  for schedule in (Linear, Cosine):
    close(rates(schedule(), [0, 50, 100, 1000]), [2, 1, 0, 0])
    close(rates(schedule(final=0.1), [0, 50, 100]), [2, 1.1, 0.2])
    close(rates(schedule(warmup=Duration(20)), [20, 60, 100]), [2, 1, 0])
  close(rates(Cosine(), [25]), [1 + np.cos(np.pi / 4)])
  close(rates(Linear(), [25]), [1.5])


def test_inverse_square_root():
  close(rates(InverseSqrt(), [0, 3, 99]), [2, 1, 0.2])
  close(rates(InverseSqrt(warmup=Duration(4)), [3, 4, 15, 99]), [2, 2 * np.sqrt(4 / 5), 1, 0.4])


def test_piecewise():
  schedule = Piecewise(boundaries=(Duration(3, "ep"), Duration(60)), factors=(0.1, 0.01))
  close(rates(schedule, [0, 29, 30, 59, 60, 99]), [2, 2, 0.2, 0.2, 0.02, 0.02])
  close(rates(Piecewise(boundaries=(), factors=()), [0, 99]), [2, 2])


def test_the_optimizer_uses_the_rate_that_is_logged():
  optimizer = GradientDescent(learning_rate=2.0, schedule=Cosine(warmup=Duration(5)))
  params = {"w": jnp.zeros(1)}
  transformation, rate = optimizer.build(params, LENGTH), optimizer.learning_rates(LENGTH)
  state, update = transformation.init(params), jax.jit(transformation.update)
  for step in range(12):
    updates, state = update({"w": jnp.ones(1)}, state, params)
    close(-updates["w"], rate(step))


def test_mistakes():
  with pytest.raises(ConfigError, match="the run has 100"):
    Constant(warmup=Duration(101)).factor(LENGTH)
  with pytest.raises(ConfigError, match="2 boundaries, but 1 factors"):
    Piecewise(boundaries=(Duration(1), Duration(2)), factors=(0.1,))
  with pytest.raises(ConfigError, match="ascend"):
    Piecewise(boundaries=(Duration(50), Duration(2, "ep")), factors=(0.1, 0.01)).factor(LENGTH)(0)
