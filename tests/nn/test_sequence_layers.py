"""Recurrence, attention, stacked layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.nn import layers
from research.nn.attention import Attention, attend, causal_mask, segment_mask
from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.gru import GRU, BiGRU
from research.nn.norms import BatchNorm
from research.nn.transformer import Block, BlockConfig

KEY = jax.random.key(1)


def call(module, *args):
  return jax.jit(lambda *args: module(*args))(*args)


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_gru_by_numpy():
  gru = GRU(3, 5, rngs=nnx.Rngs(0))
  x = np.asarray(jax.random.normal(KEY, (2, 7, 3)))
  wx, bx, wh, bh = (np.asarray(p[...]) for p in (
      gru.inputs.kernel, gru.inputs.bias, gru.recurrent.kernel, gru.recurrent.bias))
  h, states = np.zeros((2, 5)), []
  for t in range(7):
    a, b = x[:, t] @ wx + bx, h @ wh + bh
    r, z = _sigmoid(a[:, :5] + b[:, :5]), _sigmoid(a[:, 5:10] + b[:, 5:10])
    n = np.tanh(a[:, 10:] + r * b[:, 10:])
    h = (1 - z) * n + z * h
    states.append(h)
  np.testing.assert_allclose(call(gru, x), np.stack(states, 1), rtol=1e-5, atol=1e-6)


def test_both_directions():
  both = BiGRU(3, 5, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 7, 3))
  y = call(both, x)
  np.testing.assert_allclose(y[..., :5], call(both.forward, x), rtol=1e-6)
  mirrored = GRU(3, 5, rngs=nnx.Rngs(0))
  nnx.update(mirrored, nnx.state(both.backward))
  np.testing.assert_allclose(y[..., 5:], call(mirrored, x[:, ::-1])[:, ::-1], rtol=1e-6)


def test_padding_does_not_change_a_recurrence():
  both = BiGRU(3, 5, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 7, 3))
  padded = jnp.concatenate([x, 100 * jnp.ones((2, 4, 3))], 1)
  mask = (jnp.arange(11) < 7).astype(jnp.float32)[None].repeat(2, 0)
  np.testing.assert_allclose(call(both, padded, mask)[:, :7], call(both, x), rtol=1e-6, atol=1e-7)


def test_attention_of_one_head_by_numpy():
  q, k, v = (np.asarray(jax.random.normal(key, (2, 1, 4, 3))) for key in jax.random.split(KEY, 3))
  scores = np.exp(q @ k.swapaxes(-1, -2) / 3**0.5)
  np.testing.assert_allclose(attend(q, k, v), scores / scores.sum(-1, keepdims=True) @ v, rtol=1e-5)
  lower = np.tril(scores)
  want = lower / lower.sum(-1, keepdims=True) @ v
  np.testing.assert_allclose(attend(q, k, v, causal_mask(4)), want, rtol=1e-5)


def test_softmax_is_in_float32():
  x = jax.ShapeDtypeStruct((1, 1, 3, 2), jnp.bfloat16)
  jaxpr = jax.make_jaxpr(attend)(x, x, x)
  exponentials = [e.outvars[0].aval.dtype for e in jaxpr.eqns if e.primitive.name == "exp"]
  assert exponentials == [jnp.float32] and jaxpr.out_avals[0].dtype == jnp.bfloat16


def test_a_query_that_sees_nothing_is_finite():
  q = jax.random.normal(KEY, (1, 1, 3, 2))
  blind = lambda q: attend(q, q, q, jnp.zeros((1, 1, 3, 3), bool)).sum()
  value, gradient = jax.jit(jax.value_and_grad(blind))(q)
  assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_segments_do_not_see_each_other_and_nobody_sees_padding():
  mask = segment_mask(jnp.asarray([[1, 1, 2, 0]]))[0, 0]
  np.testing.assert_array_equal(mask, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])


def test_attention_does_not_know_the_order():
  attention = Attention(8, 2, rngs=nnx.Rngs(0))
  x, order = jax.random.normal(KEY, (1, 6, 8)), jnp.asarray([3, 0, 5, 1, 4, 2])
  np.testing.assert_allclose(call(attention, x[:, order]), call(attention, x)[:, order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_pre_norm_layer_without_branches_is_the_identity_and_a_post_norm_one_is_not(norm_first):
  config = BlockConfig(dim=8, num_heads=2, mlp_dim=16, norm="rms", norm_first=norm_first, out_scale=0.0)
  block = Block(config, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 5, 8))
  want = x if norm_first else block.mlp_norm(block.attention_norm(x))
  np.testing.assert_allclose(call(block, x), want, atol=1e-6)


def test_attention_only_layers_have_no_mlp():
  block = nnx.eval_shape(lambda: Block(BlockConfig(dim=8, num_heads=2, mlp_dim=0), rngs=nnx.Rngs(0)))
  assert set(nnx.to_pure_dict(nnx.state(block))) == {"attention", "attention_norm"}


# --- repeated layers -------------------------------------------------------------------------------------------------


class _Layer(nnx.Module):
  """Draws noise, has parameters, and notes something of the batch: all that a layer may do."""

  def __init__(self, rngs):
    self.up, self.down = Dense(4, 4, rngs=rngs), Dense(4, 4, rngs=rngs)
    self.norm = BatchNorm(4)

  def __call__(self, x, shift, *, key=None):
    y = self.down(jnp.tanh(jnp.sin(self.up(x))))
    return self.norm(x + dropout(y, 0.2, key) + shift, key=key)


def _layers(stacked):
  return layers.create(_Layer, 3, stacked=stacked, rngs=nnx.Rngs(0))


def _run(stacked, remat="none"):
  """(state, x, key) -> (output, state afterwards)."""
  definition, state = nnx.split(_layers(stacked))

  @jax.jit
  def run(state, x, key=None):
    module = nnx.merge(definition, state, copy=True)
    return layers.run(module, x, 0.1, key=key, remat=remat), nnx.state(module)

  return run, state


def _as_stacked(state):
  return jax.tree.map(lambda *layers: jnp.stack(layers), *nnx.to_pure_dict(state).values())


def test_stacked_layers_start_as_listed_ones():
  listed, stacked = (nnx.state(_layers(stacked)) for stacked in (False, True))
  jax.tree.map(np.testing.assert_array_equal, _as_stacked(listed), nnx.to_pure_dict(stacked))


@pytest.mark.parametrize("key", [None, KEY])
def test_a_scan_equals_the_loop_with_the_same_noise_and_notes(key):
  x = jax.random.normal(KEY, (16, 4))
  (listed, before), (stacked, start) = _run(False), _run(True)
  y_listed, after_listed = listed(before, x, key)
  y_stacked, after_stacked = stacked(start, x, key)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  close(y_stacked, y_listed)
  jax.tree.map(close, nnx.to_pure_dict(after_stacked), _as_stacked(after_listed))
  moved = np.any(_as_stacked(after_listed)["norm"]["mean"] != 0, axis=1)
  np.testing.assert_array_equal(moved, [key is not None] * 3)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("remat", ["full", "dots"])
def test_rematerialisation_changes_no_gradient_but_what_is_kept(stacked, remat):
  x = jax.random.normal(KEY, (16, 4))
  (run, state), (plain, _) = _run(stacked, remat), _run(stacked)
  loss = lambda run: lambda state: jnp.sum(run(state, x, None)[0] ** 3)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
               jax.jit(jax.grad(loss(run)))(state), jax.jit(jax.grad(loss(plain)))(state))

  def kept(loss):  # what the forward pass hands to the backward pass
    _, backward = jax.eval_shape(lambda state: jax.vjp(loss, state), state)
    return sum(leaf.size for leaf in jax.tree.leaves(backward) if hasattr(leaf, "size"))

  assert kept(loss(run)) < 0.8 * kept(loss(plain))
