"""Recurrence, attention, stacked layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from research import flops
from research.config import ConfigError
from research.nn import layers
from research.nn.attention import Attention, attend, causal_mask, segment_mask
from research.nn.dense import Dense
from research.nn.dropout import dropout
from research.nn.gru import GRU
from research.nn.norms import BatchNorm
from research.nn.recurrence import Bidirectional
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
  both = Bidirectional(GRU, 3, 5, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 7, 3))
  y = call(both, x)
  np.testing.assert_allclose(y[..., :5], call(both.forward, x), rtol=1e-6)
  mirrored = GRU(3, 5, rngs=nnx.Rngs(0))
  nnx.update(mirrored, nnx.state(both.backward))
  np.testing.assert_allclose(y[..., 5:], call(mirrored, x[:, ::-1])[:, ::-1], rtol=1e-6)


def test_padding_does_not_change_a_recurrence():
  both = Bidirectional(GRU, 3, 5, rngs=nnx.Rngs(0))
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
  for function in (attend, jax.grad(lambda *x: attend(*x).sum().astype(jnp.float32))):
    jaxpr = jax.make_jaxpr(function)(x, x, x)
    assert {str(e.outvars[0].aval.dtype) for e in _equations(jaxpr.jaxpr) if e.primitive.name == "exp"} == {"float32"}
    assert jaxpr.out_avals[0].dtype == jnp.bfloat16


def _equations(jaxpr):
  for equation in jaxpr.eqns:
    yield equation
    for inner in jaxprs_in_params(equation.params):
      yield from _equations(inner)


def _plain_attention(q, k, v, mask=None):
  scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
  return jax.nn.softmax(scores if mask is None else jnp.where(mask, scores, jnp.finfo(scores.dtype).min)) @ v


@pytest.mark.parametrize("mask", [None, causal_mask(5), jnp.zeros((5, 5), bool)], ids=["all", "causal", "blind"])
def test_attentions_derivatives_are_those_of_its_formula(mask):
  """Backward, forward, and the second: its own rule is exact."""
  x = [2 * jax.random.normal(key, (2, 3, 5, 4)) for key in jax.random.split(KEY, 4)]
  functions = [lambda q, k, v, f=f: jnp.sum(jnp.sin(f(q, k, v, mask)) * x[3]) for f in (attend, _plain_attention)]
  tangents = [jnp.cos(3 * a) for a in x[:3]]
  slope = lambda f: lambda *x: jax.jvp(f, x, tuple(tangents))[1]
  for derivative in (jax.value_and_grad, slope, lambda f: jax.grad(slope(f), (0, 1, 2)), lambda f: slope(jax.grad(f))):
    mine, want = (jax.jit(derivative(f))(*x[:3]) for f in functions)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), mine, want)


def test_attention_to_something_else():
  attention = Attention(8, 2, rngs=nnx.Rngs(0))
  x, memory = jax.random.normal(KEY, (2, 3, 8)), jax.random.normal(KEY, (2, 7, 8))
  y = jax.jit(lambda x, memory: attention(x, memory_BSD=memory))
  np.testing.assert_allclose(y(x, x), call(attention, x), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(y(x, memory[:, ::-1]), y(x, memory), rtol=1e-4, atol=1e-6)  # knows no order
  assert not np.allclose(y(x, memory[:, :-1]), y(x, memory), atol=1e-3)


def test_cudnn_takes_no_attention_dropout():
  with pytest.raises(ConfigError, match="attention_dropout"):
    BlockConfig(implementation="cudnn", dropout=0.1)
  BlockConfig(implementation="cudnn", dropout=0.1, attention_dropout=0.0)


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
def test_each_layer_sees_its_own_row(stacked):
  shared, rows = jnp.ones(4), jnp.asarray([0.0, 2.0, -1.0])

  class Shifted(Dense):
    def __call__(self, x, shift=0.0, row=0.0, *, key=None):
      return super().__call__(x) + shift * row

  made = layers.create(lambda rngs: Shifted(4, 4, init="zeros", rngs=rngs), 3, stacked=stacked, rngs=nnx.Rngs(0))
  np.testing.assert_array_equal(layers.run(made, jnp.ones((2, 4)), shared, each=(rows,)), -1)
  np.testing.assert_array_equal(layers.run(made, jnp.ones((2, 4)), shared, each=(rows[::-1],)), 0)


def test_stochastic_depth_grows_with_the_layer_and_keeps_the_mean():
  factors, = layers.branch_factors(KEY, 0.5, num_layers=5, num_branches=2, batch_size=4000)
  assert factors.shape == (5, 2, 4000)
  assert layers.branch_factors(None, 0.5, num_layers=5, num_branches=2, batch_size=3) == ()
  rates = np.linspace(0, 0.5, 5)
  for layer, rate in zip(factors, rates):
    assert set(np.unique(np.asarray(layer)).tolist()) <= {0.0, float(np.float32(1) / np.float32(1 - rate))}
    np.testing.assert_allclose(np.mean(layer == 0), rate, atol=4 * (rate * (1 - rate) / 8000) ** 0.5)
  assert np.mean((factors[4, 0] == 0) == (factors[4, 1] == 0)) < 0.6  # branches are dropped apart


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


def test_what_attention_gives_is_kept_and_its_weights_are_not():
  """With remat="dots" the backward pass computes q kᵀ again and no product with the values."""
  block = BlockConfig(dim=8, num_heads=2, mlp_dim=16)
  stacked = layers.create(lambda rngs: Block(block, rngs=rngs), 3, stacked=True, rngs=nnx.Rngs(0))
  definition, state = nnx.split(stacked)
  counts = {}
  for remat in ("none", "dots", "full"):
    loss = lambda state, x, remat=remat: jnp.sum(layers.run(nnx.merge(definition, state, copy=True), x, remat=remat) ** 2)
    counts[remat] = flops.count(jax.grad(loss, (0, 1)), state, jnp.ones((2, 32, 8))).total
  product = 3 * 2 * 2 * 32 * 32 * 8  # layers, operations, examples, queries, keys, heads times size
  assert counts["dots"] - counts["none"] == product
  assert counts["full"] - counts["dots"] > product
