"""Influence of training examples against its formulas, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.interpretation import influence
from research.interpretation.rewriting import NotThere, without_custom_vjp
from research.studies.influence_functions import losses

RNG = np.random.default_rng(0)
_draw = lambda *shape: jnp.asarray(RNG.normal(size=shape), jnp.float32)
PARAMS = {"body": {"kernel": _draw(5, 4)}, "head": {"kernel": _draw(4, 3), "bias": _draw(3)}}


def _batch(num, seed):
  rng = np.random.default_rng(seed)
  return {"x": jnp.asarray(rng.normal(size=(num, 5)), jnp.float32), "y": jnp.asarray(rng.integers(0, 3, num))}


def _features(params, batch):
  return jnp.tanh(batch["x"] @ params["body"]["kernel"])


@jax.custom_vjp
def _backwards_only(x):
  return x


_backwards_only.defvjp(lambda x: (x, None), lambda _, g: (g,))


def loss(params, batch):
  weights = jnp.concatenate([params["head"]["kernel"], params["head"]["bias"][None]])
  h = _features(params, batch)
  return _backwards_only(losses(weights, jnp.concatenate([h, jnp.ones((len(h), 1))], 1), batch["y"]))


@pytest.fixture(scope="module")
def train():
  return [_batch(16, seed) for seed in (1, 2, 3)]


def test_of_the_last_layer_is_the_influence_function_of_a_linear_classifier_on_its_features(train):
  explained, damping = _batch(16, 9), 0.05
  part, own = influence.last_layer(loss, PARAMS, train[0], "head")
  assert set(own) == {"head/kernel", "head/bias"}
  for known in (part.known(train[0]), part.known(explained)):
    assert not any(k.shape == (5, 4) for k in known)  # the layers before are not computed again
  found, left = influence.of_last_layer(part, own, list(map(part.known, train)), part.known(explained), num=2, damping=damping)
  whole = {name: jnp.concatenate([b[name] for b in train]) for name in train[0]}
  flat, unflatten = jax.flatten_util.ravel_pytree(PARAMS["head"])
  of = lambda flat, batch: without_custom_vjp(loss)({**PARAMS, "head": unflatten(flat)}, batch)

  @jax.jit
  def expected(flat):
    hessian = jax.hessian(lambda flat: of(flat, whole).mean())(flat) + damping * jnp.eye(len(flat))
    ours, theirs = jax.jacrev(of)(flat, explained)[:2], jax.jacrev(of)(flat, whole)
    return ours @ jnp.linalg.solve(hessian, theirs.T) / 48

  np.testing.assert_allclose(found, expected(flat), rtol=1e-3, atol=1e-6)
  assert left < 1e-4


def test_a_loss_that_bends_downwards_has_no_influence_function(train):
  part, own = influence.last_layer(lambda params, batch: -loss(params, batch), PARAMS, train[0], "head")
  with pytest.raises(NotThere, match="not convex"):
    influence.of_last_layer(part, own, list(map(part.known, train)), part.known(train[0]), num=2, damping=1e-3)


def test_tracin_adds_products_of_gradients_over_checkpoints(train):
  checkpoints = [PARAMS, jax.tree.map(lambda p: 0.5 * p, PARAMS)]
  explained = _batch(4, 9)
  found = influence.tracin(loss, checkpoints, train, explained, num=2)
  flatten = lambda tree: jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)], 1)
  whole = {name: jnp.concatenate([b[name] for b in train]) for name in train[0]}
  gradients = jax.jit(lambda params, batch: flatten(jax.jacrev(loss)(params, batch)))
  expected = sum(gradients(p, explained)[:2] @ gradients(p, whole).T for p in checkpoints)
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_stack_that_is_scanned_has_no_last_layer(train):
  layer = lambda x, w: (jnp.tanh(x @ w), None)
  stacked = lambda params, batch: jax.lax.scan(layer, batch["x"], params["layers"]["w"])[0].sum(1)
  with pytest.raises(NotThere, match="layers"):
    influence.last_layer(stacked, {"layers": {"w": jnp.ones((2, 5, 5))}}, train[0], "layers")
