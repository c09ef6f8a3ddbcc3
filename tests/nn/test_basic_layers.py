"""Initial values, dense layers, noise, normalisation, embeddings, convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx

from research.nn.activations import ACTIVATIONS
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.dropout import dropout, stochastic_depth
from research.nn.embedding import Embedding, sinusoids
from research.nn.initializers import initialize, parameter_dtype
from research.nn.norms import BatchNorm, LayerNorm, RMSNorm

KEY = jax.random.key(0)


@pytest.mark.parametrize("init,deviation,limit", [
    ("lecun_normal", 300**-0.5, None), ("he_normal", (2 / 300) ** 0.5, None), ("normal", 1.0, None),
    ("glorot_uniform", (2 / 500) ** 0.5, (6 / 500) ** 0.5), ("torch_uniform", (3 * 300) ** -0.5, 300**-0.5)])
def test_initial_values_have_the_stated_spread(init, deviation, limit):
  values = initialize(init, KEY, (300, 200), jnp.float32, fan_in=300, fan_out=200, scale=2.0)
  np.testing.assert_allclose(values.std(), 2 * deviation, rtol=0.02)  # 60,000 draws: 0.3 % standard error
  assert abs(values.mean()) < 5 * 2 * deviation / 60_000**0.5
  if limit:
    assert 0.99 * 2 * limit < jnp.max(jnp.abs(values)) <= 2 * limit


def test_biases_are_drawn_as_pytorch_does_and_zero_otherwise():
  assert not np.any(Dense(10, 5, init="he_normal", rngs=nnx.Rngs(0)).bias[...])
  bias = Dense(100, 50, init="torch_uniform", rngs=nnx.Rngs(0)).bias[...]
  assert 0.05 < jnp.max(jnp.abs(bias)) <= 0.1


def test_dense_without_bias_has_none():
  layer = Dense(3, 2, bias=False, rngs=nnx.Rngs(0))
  assert jax.tree.leaves(nnx.state(layer))[0].shape == (3, 2)
  assert len(jax.tree.leaves(nnx.state(layer))) == 1
  x = jax.random.normal(KEY, (2, 5, 3))
  np.testing.assert_allclose(layer(x), jnp.einsum("btd,de->bte", x, layer.kernel[...]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_layers_compute_in_the_type_of_their_input(dtype):
  with jax.enable_x64(True):
    rngs = nnx.Rngs(0)
    x = jnp.ones((2, 6, 4), dtype)
    for layer in (Dense(4, 3, rngs=rngs), LayerNorm(4), RMSNorm(4), BatchNorm(4), Conv(4, 3, (3,), rngs=rngs)):
      assert layer(x).dtype == dtype
    assert Conv(4, 3, (3, 3), rngs=rngs)(x[None]).dtype == dtype
    assert dropout(x, 0.5, KEY).dtype == dtype
    assert parameter_dtype(dtype) == (jnp.float64 if dtype == jnp.float64 else jnp.float32)


def test_activations_by_formula():
  x = jnp.linspace(-4, 4, 41)
  phi = 0.5 * (1 + jax.scipy.special.erf(x / 2**0.5))
  np.testing.assert_allclose(ACTIVATIONS["gelu"](x), x * phi, atol=1e-6)
  inner = (2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)
  np.testing.assert_allclose(ACTIVATIONS["gelu_tanh"](x), x / 2 * (1 + jnp.tanh(inner)), atol=1e-6)
  np.testing.assert_allclose(ACTIVATIONS["silu"](x), x / (1 + jnp.exp(-x)), atol=1e-6)
  np.testing.assert_array_equal(ACTIVATIONS["square"](x), x * x)
  np.testing.assert_array_equal(ACTIVATIONS["identity"](x), x)


def test_gelu_and_its_derivatives_to_the_last_digits():
  x = np.linspace(-12, 12, 2001)
  phi, density = 0.5 * scipy.special.erfc(-x / 2**0.5), np.exp(-x * x / 2) / (2 * np.pi) ** 0.5
  want = [x * phi, phi + x * density, (2 - x * x) * density]
  gelu = ACTIVATIONS["gelu"]
  for dtype, error in ((jnp.float32, 1.2e-6), (jnp.float64, 1e-14)):
    with jax.enable_x64(True):
      for order, values in enumerate(want):
        function = gelu
        for _ in range(order):
          function = jax.grad(function)
        np.testing.assert_allclose(jax.vmap(function)(jnp.asarray(x, dtype)), values, atol=error, rtol=0)
  np.testing.assert_allclose(jax.jvp(gelu, (0.7,), (1.0,))[1], jax.grad(gelu)(0.7), rtol=1e-6)


def test_dropout_keeps_the_mean_and_is_off_without_a_key():
  x = jnp.arange(1.0, 6.0)
  samples = jax.vmap(lambda key: dropout(x, 0.3, key))(jax.random.split(KEY, 20_000))
  error = x * (0.3 / 0.7 / 20_000) ** 0.5
  assert np.all(np.abs(samples.mean(0) - x) < 4 * error)
  rate = 19_661 / 65_536  # 0.3 of 16 bits
  np.testing.assert_allclose(np.unique(samples[:, 1]), [0, 2 / (1 - rate)], rtol=1e-6)
  kept = np.corrcoef(np.asarray(samples > 0, float).T)  # two entries share one draw of 32 bits
  assert np.all(np.abs(kept - np.eye(5)) < 4 / 20_000**0.5)
  np.testing.assert_array_equal(dropout(x, 0.3, None), x)
  np.testing.assert_array_equal(dropout(x, 0.0, KEY), x)


def test_stochastic_depth_drops_whole_examples():
  y = stochastic_depth(jnp.ones((4000, 3, 2)), 0.25, KEY)
  kept = np.asarray(y[:, 0, 0] > 0)
  np.testing.assert_array_equal(y, np.where(kept, np.float32(1 / 0.75), 0)[:, None, None] * np.ones((4000, 3, 2)))
  assert abs(kept.mean() - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
  np.testing.assert_array_equal(stochastic_depth(jnp.ones((4, 2)), 0.25, None), 1)


def test_layer_norm_and_rms_norm_by_formula():
  x = 3 + 2 * jax.random.normal(KEY, (5, 8))
  layer, rms = LayerNorm(8), RMSNorm(8)
  layer.scale[...], layer.bias[...], rms.scale[...] = jnp.full(8, 2.0), jnp.full(8, 0.5), jnp.full(8, 3.0)
  want = 2 * (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1, keepdims=True) + 1e-5) + 0.5
  np.testing.assert_allclose(layer(x), want, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(rms(x), 3 * x / jnp.sqrt((x**2).mean(1, keepdims=True) + 1e-6), rtol=1e-5)


def test_layer_norm_of_large_bfloat16_values():
  """Statistics are not computed in bfloat16, where 1,000 + 1 = 1,000."""
  x = (1000 + 8 * jnp.arange(64.0))[None].astype(jnp.bfloat16)
  wide = x.astype(jnp.float32)
  want = (wide - wide.mean()) / wide.std()
  np.testing.assert_allclose(LayerNorm(64)(x).astype(jnp.float32), want, atol=0.01)


def test_batch_norm_learns_running_statistics_in_training_only():
  norm = BatchNorm(3, decay=0.75)
  x = 4 + 2 * jax.random.normal(KEY, (16, 5, 3))
  y = norm(x, key=KEY)
  np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-5)
  np.testing.assert_allclose(y.var((0, 1)), 1, atol=1e-4)
  np.testing.assert_allclose(norm.mean[...], 0.25 * x.mean((0, 1)), rtol=1e-5)
  np.testing.assert_allclose(norm.variance[...], 0.75 + 0.25 * x.var((0, 1), ddof=1), rtol=1e-5)
  before = norm.mean[...]
  want = (x - norm.mean[...]) / jnp.sqrt(norm.variance[...] + 1e-5)
  np.testing.assert_allclose(norm(x), want, rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(norm.mean[...], before)


def test_batch_norm_running_statistics_converge_to_the_datas():
  norm = BatchNorm(1)
  for key in jax.random.split(KEY, 100):
    norm(4 + 2 * jax.random.normal(key, (200, 1)), key=key)
  np.testing.assert_allclose(norm.mean[...], 4, atol=0.15)
  np.testing.assert_allclose(norm.variance[...], 4, rtol=0.15)


def test_tied_logits_score_against_the_table():
  table = Embedding(7, 4, deviation=1.0, rngs=nnx.Rngs(0))
  vectors = table(jnp.asarray([[2, 5]]))
  np.testing.assert_allclose(table.logits(vectors), vectors @ table.embedding[...].T, rtol=1e-5)
  assert table.logits(vectors).shape == (1, 2, 7)


def test_sinusoids_turn_a_shift_into_a_rotation():
  """The product of two positions' vectors depends on their distance only."""
  vectors = sinusoids(jnp.arange(50), 32)
  products = vectors @ vectors.T
  np.testing.assert_allclose(products[3, 10], products[30, 37], rtol=1e-5)
  np.testing.assert_allclose(jnp.diag(products), 16, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_convolution_in_one_dimension_equals_xlas(size, stride, padding):
  layer = Conv(4, 6, (size,), stride=stride, padding=padding, init="torch_uniform", rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 11, 4))
  want = jax.lax.conv_general_dilated(
      x, layer.kernel[...], (stride,), [(padding, padding)], dimension_numbers=("NHC", "HIO", "NHC"))
  np.testing.assert_allclose(layer(x), want + layer.bias[...], rtol=1e-4, atol=1e-5)


def test_convolution_in_two_dimensions_by_hand():
  layer = Conv(1, 1, (2, 2), stride=2, padding=1, rngs=nnx.Rngs(0))
  layer.kernel[...] = jnp.asarray([[1.0, 2.0], [3.0, 4.0]])[..., None, None]
  y = layer(jnp.arange(1.0, 5.0).reshape(1, 2, 2, 1))
  np.testing.assert_array_equal(y[0, :, :, 0], [[4 * 1, 3 * 2], [2 * 3, 1 * 4]])
