"""Rates, penalties and freezing by parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research import rules
from research.config import ConfigError, Duration
from research.optimizers.adam import Adam
from research.optimizers.adamw import AdamW
from research.optimizers.descent import GradientDescent
from research.optimizers.lion import Lion
from research.optimizers.muon import Muon
from research.optimizers.sam import SAM
from research.optimizers.schedule import Length, Linear

LENGTH = Length(total_steps=100, batch_size=10, steps_per_epoch=10)
PARAMS = {"body": {"kernel": jnp.asarray([[1.0, -2.0], [3.0, -4.0]]), "bias": jnp.asarray([0.5, -0.5])},
          "head": {"kernel": jnp.asarray([[0.25], [0.75]])}}
ONES = jax.tree.map(jnp.ones_like, PARAMS)


def one_update(optimizer, gradient=ONES, params=PARAMS):
  transformation = optimizer.build(params, LENGTH)
  return jax.jit(lambda gradient, params: transformation.update(
      gradient, transformation.init(params), params, value=0.0, grad_fn=lambda params: gradient))(gradient, params)


def test_rate_multipliers():
  updates, _ = one_update(GradientDescent(learning_rate=0.1, learning_rate_rules=(("head/.*", 10.0), (".*", 1.0))))
  np.testing.assert_allclose(updates["head"]["kernel"], -1.0, rtol=1e-6)
  np.testing.assert_allclose(updates["body"]["kernel"], -0.1, rtol=1e-6)


@pytest.mark.parametrize("make", [
    lambda rates: Adam(learning_rate=0.1, learning_rate_rules=rates, clip_norm=1.0, l2=0.1, l1=0.1),
    lambda rates: AdamW(learning_rate=0.1, learning_rate_rules=rates, weight_decay=0.1),
    lambda rates: Lion(learning_rate=0.1, learning_rate_rules=rates, weight_decay=0.1),
    lambda rates: Muon(learning_rate=0.1, learning_rate_rules=rates, weight_decay=0.1),
    lambda rates: SAM(base=Adam(learning_rate=0.1, learning_rate_rules=rates))])
def test_frozen_parameters_keep_their_bits_and_have_no_moments(make):
  optimizer = make((("body/.*", 0.0), (".*", 1.0)))
  updates, state = one_update(optimizer)
  moved = optax.apply_updates(PARAMS, updates)
  for name in ("kernel", "bias"):
    assert np.asarray(moved["body"][name]).tobytes() == np.asarray(PARAMS["body"][name]).tobytes()
  assert not np.array_equal(moved["head"]["kernel"], PARAMS["head"]["kernel"])
  assert not [path for path in rules.paths(state) if "body" in path]
  assert [path for path in rules.paths(state) if "head/kernel" in path]


def test_frozen_gradients_do_not_count_in_clipping():
  free = {"body": jax.tree.map(lambda x: 1e6 * x, ONES["body"]), "head": ONES["head"]}
  optimizer = GradientDescent(learning_rate=1.0, clip_norm=1.0, learning_rate_rules=(("body/.*", 0.0), (".*", 1.0)))
  updates, _ = one_update(optimizer, free)
  np.testing.assert_allclose(updates["head"]["kernel"], -1 / np.sqrt(2), rtol=1e-6)


def test_clipping_keeps_the_direction():
  updates, _ = one_update(GradientDescent(learning_rate=1.0, clip_norm=0.5))
  np.testing.assert_allclose(optax.tree.norm(updates), 0.5, rtol=1e-6)
  small, _ = one_update(GradientDescent(learning_rate=1.0, clip_norm=1e3))
  np.testing.assert_array_equal(small["body"]["kernel"], -ONES["body"]["kernel"])


def test_decay_goes_where_the_rules_say():
  zero = jax.tree.map(jnp.zeros_like, PARAMS)
  optimizer = AdamW(learning_rate=0.1, weight_decay=0.2, penalty_rules=((".*bias", 0.0), ("head/.*", 2.0), (".*", 1.0)))
  updates, _ = one_update(optimizer, zero)
  np.testing.assert_allclose(updates["body"]["kernel"], -0.02 * PARAMS["body"]["kernel"], rtol=1e-6)
  np.testing.assert_allclose(updates["head"]["kernel"], -0.04 * PARAMS["head"]["kernel"], rtol=1e-6)
  np.testing.assert_array_equal(updates["body"]["bias"], 0)


def test_l2_is_the_gradient_of_the_penalty():
  optimizer = GradientDescent(learning_rate=0.1, l2=0.3, penalty_rules=((".*bias", 0.0), (".*", 1.0)))
  penalty = lambda p: 0.15 * (jnp.sum(p["body"]["kernel"] ** 2) + jnp.sum(p["head"]["kernel"] ** 2))
  want = jax.tree.map(lambda one, g: -0.1 * (one + g), ONES, jax.grad(penalty)(PARAMS))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one_update(optimizer)[0], want)


def test_l1_solves_the_separable_problem_exactly():
  """argmin of ½ a (w − c)² + λ|w| is sign(c)·max(|c| − λ/a, 0): the small ones are exactly zero."""
  with jax.enable_x64(True):
    centre = jnp.asarray([3.0, -2.0, 0.4, -0.3, 0.0, 1.0])
    scale = jnp.asarray([1.0, 2.0, 1.0, 0.5, 1.0, 1.0])
    params = {"w": jnp.ones(6)}
    transformation = GradientDescent(learning_rate=0.3, l1=0.5).build(params, LENGTH)

    def step(_, carry):
      params, state = carry
      updates, state = transformation.update({"w": scale * (params["w"] - centre)}, state, params)
      return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, 300, step, (params, transformation.init(params)))
    want = jnp.sign(centre) * jnp.maximum(jnp.abs(centre) - 0.5 / scale, 0)
    np.testing.assert_allclose(params["w"], want, atol=1e-14)
    assert np.array_equal(np.asarray(params["w"]) == 0, [False, False, True, True, True, False])


def test_l1_follows_rate_schedule_and_rules():
  optimizer = GradientDescent(
      learning_rate=1.0, l1=0.1, schedule=Linear(warmup=Duration(2)),
      learning_rate_rules=(("head/.*", 2.0), (".*", 1.0)), penalty_rules=((".*bias", 0.0), (".*", 1.0)))
  zero = jax.tree.map(jnp.zeros_like, PARAMS)
  updates, _ = one_update(optimizer, zero)  # the first rate is a half
  np.testing.assert_allclose(updates["body"]["kernel"], -0.05 * jnp.sign(PARAMS["body"]["kernel"]), rtol=1e-5)
  np.testing.assert_allclose(updates["head"]["kernel"], -0.1 * jnp.sign(PARAMS["head"]["kernel"]), rtol=1e-5)
  np.testing.assert_array_equal(updates["body"]["bias"], 0)


def test_sam_does_not_move_frozen_parameters_uphill():
  seen = {}

  def grad_fn(params):
    seen.update(params)
    return ONES

  base = GradientDescent(learning_rate=0.1, learning_rate_rules=(("body/.*", 0.0), (".*", 1.0)))
  transformation = SAM(base=base, radius=1.0).build(PARAMS, LENGTH)
  transformation.update(ONES, transformation.init(PARAMS), PARAMS, value=0.0, grad_fn=grad_fn)
  np.testing.assert_array_equal(seen["body"]["kernel"], PARAMS["body"]["kernel"])
  np.testing.assert_allclose(seen["head"]["kernel"], PARAMS["head"]["kernel"] + 1 / np.sqrt(2), rtol=1e-6)


def test_builds_from_abstract_parameters():
  abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS)
  transformation = AdamW(learning_rate=0.1, clip_norm=1.0, l1=0.1).build(abstract, LENGTH)
  jax.eval_shape(transformation.init, abstract)


def test_misspelt_rules_are_found():
  with pytest.raises(ConfigError, match="matches no parameter"):
    Adam(learning_rate=0.1, learning_rate_rules=(("hed/.*", 0.0), (".*", 1.0))).build(PARAMS, LENGTH)
