"""Recurrence, attention, stacked layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.nn import layers
from research.nn.attention import Attention, attend, causal_mask, segment_mask
from research.nn.dropout import dropout, fold
from research.nn.gru import GRU, BiGRU
from research.nn.norms import BatchNorm
from research.nn.transformer import Block, BlockConfig

KEY = jax.random.key(1)
CONFIG = BlockConfig(dim=8, num_heads=2, mlp_dim=16)


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
  np.testing.assert_allclose(gru(x), np.stack(states, 1), rtol=1e-5, atol=1e-6)


def test_both_directions():
  both = BiGRU(3, 5, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 7, 3))
  y = both(x)
  np.testing.assert_array_equal(y[..., :5], both.forward(x))
  mirrored = GRU(3, 5, rngs=nnx.Rngs(0))
  nnx.update(mirrored, nnx.state(both.backward))
  np.testing.assert_allclose(y[..., 5:], mirrored(x[:, ::-1])[:, ::-1], rtol=1e-6)


def test_padding_does_not_change_a_recurrence():
  both = BiGRU(3, 5, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 7, 3))
  padded = jnp.concatenate([x, 100 * jnp.ones((2, 4, 3))], 1)
  mask = (jnp.arange(11) < 7).astype(jnp.float32)[None].repeat(2, 0)
  np.testing.assert_allclose(both(padded, mask)[:, :7], both(x), rtol=1e-6)


def test_attention_of_one_head_by_numpy():
  q, k, v = (np.asarray(jax.random.normal(key, (2, 1, 4, 3))) for key in jax.random.split(KEY, 3))
  scores = np.exp(q @ k.swapaxes(-1, -2) / 3**0.5)
  np.testing.assert_allclose(attend(q, k, v), scores / scores.sum(-1, keepdims=True) @ v, rtol=1e-5)
  lower = np.tril(scores)
  want = lower / lower.sum(-1, keepdims=True) @ v
  np.testing.assert_allclose(attend(q, k, v, causal_mask(4)), want, rtol=1e-5)


def test_softmax_is_in_float32():
  """64 keys of equal score but one: in bfloat16 the sum of the weights would be off by more than the result's rounding."""
  q = jnp.ones((1, 1, 1, 1), jnp.bfloat16)
  k, v = jnp.zeros((1, 1, 1000, 1), jnp.bfloat16), jnp.ones((1, 1, 1000, 1), jnp.bfloat16)
  jaxpr = str(jax.make_jaxpr(attend)(q, k, v))
  assert "f32" in jaxpr[:jaxpr.index("exp")]
  assert attend(q, k, v).dtype == jnp.bfloat16


def test_a_query_that_sees_nothing_is_finite():
  q = jax.random.normal(KEY, (1, 1, 3, 2))
  blind = lambda q: attend(q, q, q, jnp.zeros((1, 1, 3, 3), bool)).sum()
  assert np.isfinite(blind(q)) and np.all(np.isfinite(jax.grad(blind)(q)))


def test_segments_do_not_see_each_other_and_nobody_sees_padding():
  mask = segment_mask(jnp.asarray([[1, 1, 2, 0]]))[0, 0]
  np.testing.assert_array_equal(mask, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])


def test_attention_does_not_know_the_order():
  attention = Attention(8, 2, rngs=nnx.Rngs(0))
  x, order = jax.random.normal(KEY, (1, 6, 8)), jnp.asarray([3, 0, 5, 1, 4, 2])
  np.testing.assert_allclose(attention(x[:, order]), attention(x)[:, order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_pre_norm_layer_without_branches_is_the_identity(norm_first, norm):
  config = BlockConfig(dim=8, num_heads=2, mlp_dim=16, norm=norm, norm_first=norm_first, out_scale=0.0)
  block = Block(config, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 5, 8))
  want = x if norm_first else block.mlp_norm(block.attention_norm(x))
  np.testing.assert_allclose(block(x), want, atol=1e-6)


def test_attention_only_layers_have_no_mlp():
  block = Block(BlockConfig(dim=8, num_heads=2, mlp_dim=0), rngs=nnx.Rngs(0))
  assert not hasattr(block, "mlp")
  assert block(jnp.ones((1, 3, 8))).shape == (1, 3, 8)


# --- repeated layers -------------------------------------------------------------------------------------------------


def _blocks(stacked, **changes):
  config = BlockConfig(dim=8, num_heads=2, mlp_dim=16, **changes)
  return layers.create(lambda rngs: Block(config, rngs=rngs), 3, stacked=stacked, rngs=nnx.Rngs(0))


def test_stacked_layers_start_as_listed_ones():
  listed, stacked = _blocks(False), _blocks(True)
  for i, layer in enumerate(listed):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[i]), nnx.state(layer), nnx.state(stacked))


@pytest.mark.parametrize("key", [None, KEY])
def test_a_scan_equals_the_loop_with_the_same_noise(key):
  x = jax.random.normal(KEY, (2, 5, 8))
  run = lambda stacked: layers.run(_blocks(stacked, dropout=0.2, stochastic_depth=0.2), x, causal_mask(5), key=key)
  np.testing.assert_allclose(run(True), run(False), rtol=1e-5, atol=1e-6)


def _gradient(stacked, remat):
  definition, state = nnx.split(_blocks(stacked, dropout=0.2))
  x = jax.random.normal(KEY, (2, 5, 8))
  loss = lambda state: jnp.sum(layers.run(nnx.merge(definition, state, copy=True), x, None, key=KEY, remat=remat) ** 2)
  return loss, state


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("remat", ["full", "dots"])
def test_rematerialisation_changes_no_gradient_but_what_is_kept(stacked, remat):
  loss, state = _gradient(stacked, remat)
  plain, _ = _gradient(stacked, "none")
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
               jax.jit(jax.grad(loss))(state), jax.jit(jax.grad(plain))(state))

  def kept(loss):  # bytes that the forward pass hands to the backward pass
    _, backward = jax.eval_shape(lambda state: jax.vjp(loss, state), state)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward) if hasattr(leaf, "size"))

  assert kept(loss) < 0.8 * kept(plain)


class _Noted(nnx.Module):
  def __init__(self, rngs):
    self.norm, self.weight = BatchNorm(4), nnx.Param(jax.random.normal(rngs.params(), (4, 4)))

  def __call__(self, x, *, key=None):
    return self.norm(dropout(x, 0.1, fold(key, 0)) @ self.weight[...], key=key)


def test_layers_keep_what_they_note_of_the_batch():
  x = jax.random.normal(KEY, (16, 4))
  noted = []
  for stacked in (False, True):
    stack = layers.create(_Noted, 3, stacked=stacked, rngs=nnx.Rngs(0))
    layers.run(stack, x, key=KEY)
    noted.append(stack.norm.mean[...] if stacked else jnp.stack([layer.norm.mean[...] for layer in stack]))
  assert np.all(np.abs(noted[0]).max(1) > 1e-3)
  np.testing.assert_allclose(noted[1], noted[0], rtol=1e-4, atol=1e-6)
