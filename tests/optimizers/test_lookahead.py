"""Lookahead, the triangle and freezing in time: the steps of airbench's training loop, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError, Duration
from research.optimizers.descent import GradientDescent
from research.optimizers.lookahead import Lookahead
from research.optimizers.schedule import Length, Triangle

RATE, DECAY, MOMENTUM, SCALER, BATCH = 11.5, 0.0153, 0.85, 64.0, 1024
LENGTH = Length(total_steps=60, batch_size=BATCH, steps_per_epoch=8)
STRETCH = 1 + 1 / (1 - MOMENTUM)
SGD = GradientDescent(
    learning_rate=RATE / STRETCH, momentum=MOMENTUM, nesterov=True, l2=DECAY / RATE,
    schedule=Triangle(warmup=Duration(14), initial=0.2, final=0.07),
    learning_rate_rules=(("fixed", 0.0), (".*_norm/bias", SCALER), (".*", 1.0)),
    penalty_rules=((".*_norm/bias", 1 / SCALER), (".*", 1.0)), frozen_after=(("early", Duration(3, "ep")),))
PARAMS = {"fixed": jnp.ones(2), "early": jnp.array([0.5, -1.0]), "kernel": jnp.array([1.0, 2.0]),
          "first_norm": {"bias": jnp.array([0.3, -0.2])}}


def gradient(params, step):
  """That of the mean over the batch; anything will do that differs from step to step."""
  return jax.tree.map(lambda w: 1e-2 * (w + jnp.sin(step + jnp.arange(2.0))), params)


def ours(optimizer, steps):
  transformation = optimizer.build(PARAMS, LENGTH)
  update = jax.jit(lambda params, state, step: transformation.update(gradient(params, step), state, params))
  params, state, seen = PARAMS, transformation.init(PARAMS), []
  for step in range(steps):
    updates, state = update(params, state, step)
    params = jax.tree.map(jnp.add, params, updates)
    seen.append(jax.tree.map(np.asarray, params))
  return seen


def theirs(steps, *, lookahead):
  """In the author's terms: gradients of the sum over 1,024 examples, a rate and a decay for that."""
  kilostep = 1024 * STRETCH
  rate, decay = RATE / kilostep, DECAY * BATCH / kilostep
  rates = {"early": rate, "kernel": rate, "bias": rate * SCALER}
  w = {"early": np.array([0.5, -1.0]), "kernel": np.array([1.0, 2.0]), "bias": np.array([0.3, -0.2])}
  buffers, slow, seen = {name: np.zeros(2) for name in w}, None, []
  for step in range(steps):
    factor = np.interp(step, [0, 14, LENGTH.total_steps], [0.2, 1, 0.07])
    for name, value in w.items():
      if name == "early" and step >= 3 * 8:
        continue
      g = BATCH * 1e-2 * (value + np.sin(step + np.arange(2.0))) + decay / rates[name] * value
      buffers[name] = MOMENTUM * buffers[name] + g
      w[name] = value - factor * rates[name] * (g + MOMENTUM * buffers[name])
    done = step + 1
    if lookahead and step >= 3 * 8 and done % 5 == 0:
      if slow is None:
        slow = dict(w)
      else:
        rho = 0.95**5 * (done / LENGTH.total_steps) ** 3
        slow = {name: rho * slow[name] + (1 - rho) * w[name] for name in w}
        w = dict(slow)
    if slow is not None and (done % 8 == 0 or done == LENGTH.total_steps):
      w = dict(slow)
    seen.append(dict(w))
  return seen


@pytest.mark.parametrize("lookahead", [False, True])
def test_the_steps_are_the_authors(lookahead):
  optimizer = Lookahead(base=SGD, start=Duration(3, "ep")) if lookahead else SGD
  for made, expected in zip(ours(optimizer, 60), theirs(60, lookahead=lookahead), strict=True):
    np.testing.assert_array_equal(made["fixed"], [1, 1])
    for name in ("early", "kernel"):
      np.testing.assert_allclose(made[name], expected[name], rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(made["first_norm"]["bias"], expected["bias"], rtol=2e-4, atol=2e-5)


def test_the_run_ends_on_the_slow_weights():
  """54 steps in: the last average was at 50; with the whole run over, what was done since is gone."""
  optimizer = Lookahead(base=SGD, start=Duration(3, "ep"))
  seen = ours(optimizer, 60)
  assert np.abs(seen[53]["kernel"] - seen[49]["kernel"]).max() > 1e-4  # step 54 is on its own way
  np.testing.assert_allclose(seen[55]["kernel"], seen[54]["kernel"], atol=1e-7)  # 56 ends an epoch: back to that of 55


def test_impossible_ones_are_refused():
  for wrong in ({"every": 0}, {"decay": 1.0}, {"power": -1.0}):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
      Lookahead(base=SGD, **wrong)
  with pytest.raises(ConfigError, match="warmup"):
    Triangle(warmup=Duration(61)).factor(LENGTH)
  with pytest.raises(ConfigError, match="matches no parameter"):
    GradientDescent(learning_rate=1.0, frozen_after=(("erly", Duration(1)),)).build(PARAMS, LENGTH)
