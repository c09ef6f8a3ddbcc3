"""What the networks are: sizes, causality, padding, scans, types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import rules
from research.config import ConfigError
from research.models import cnn, gru, linear, mlp, transformer
from research.nn.transformer import BlockConfig

KEY = jax.random.key(2)
MNIST1D = jax.ShapeDtypeStruct((100, 40), jnp.float32)
MNIST1D_CNN = cnn.Config(
    channels=(25, 25, 25), kernels=(5, 3, 3), strides=(2, 2, 2), paddings=(1, 1, 1), init="torch_uniform")
DIGITS_CNN = cnn.Config(channels=(32, 64), kernels=(3, 3), strides=(1, 2), paddings=(1, 1), widths=(128,))
BLOCK = BlockConfig(dim=16, num_heads=2, mlp_dim=32)


def parameters(model):
  return rules.paths(nnx.to_pure_dict(nnx.state(model, nnx.Param)))


def call(model, *args, **others):
  return jax.jit(lambda args, others: model(*args, **others))(args, others)


@pytest.mark.parametrize("config,size", [
    (linear.Config(), 410), (mlp.Config(widths=(100, 100), residual=True), 15_210), (MNIST1D_CNN, 5_210),
    (gru.Config(width=6), 5_134)], ids=["linear", "mlp", "cnn", "gru"])
def test_mnist1d_networks_have_the_published_sizes(config, size):
  """Greydanus, Kobak 2024: 410, 15,210, 5,210 and 5,134 parameters."""
  model = config.build(MNIST1D, 10, nnx.Rngs(0))
  assert sum(p.size for p in parameters(model).values()) == size
  assert call(model, jnp.ones((3, 40)), key=KEY).shape == (3, 10)


@pytest.mark.parametrize("config", [
    mlp.Config(widths=(100, 100), init="torch_uniform"), MNIST1D_CNN, gru.Config(width=6)], ids=["mlp", "cnn", "gru"])
def test_pytorchs_initial_values(config):
  model = config.build(MNIST1D, 10, nnx.Rngs(0))
  limits = {"layers/0": 40, "layers/1": 100, "convolutions/0": 5, "convolutions/1": 75, "convolutions/2": 75,
            "recurrence": 6, "head": {mlp.MLP: 100, cnn.CNN: 125, gru.Network: 480}[type(model)]}
  for path, value in parameters(model).items():
    limit = next(n for name, n in limits.items() if path.startswith(name)) ** -0.5
    assert 0.6 * limit < np.max(np.abs(value)) <= limit, path


def test_residual_layers_add_their_input():
  model = mlp.Config(widths=(6, 6), residual=True).build(jax.ShapeDtypeStruct((1, 4), jnp.float32), 3, nnx.Rngs(0))
  first, second = model.layers
  x = jax.random.normal(KEY, (5, 4))
  h = jax.nn.relu(x @ first.kernel[...] + first.bias[...])
  h = h + jax.nn.relu(h @ second.kernel[...] + second.bias[...])
  np.testing.assert_allclose(call(model, x), h @ model.head.kernel[...] + model.head.bias[...], rtol=1e-5, atol=1e-5)


def test_a_deep_linear_network_is_linear():
  model = linear.Config(widths=(16, 8), bias=False).build(jax.ShapeDtypeStruct((1, 5), jnp.float32), 3, nnx.Rngs(0))
  a, b = jax.random.normal(KEY, (2, 4, 5))
  np.testing.assert_allclose(call(model, 2 * a - b), 2 * call(model, a) - call(model, b), rtol=1e-4, atol=1e-4)
  assert set(parameters(model)) == {"layers/0/kernel", "layers/1/kernel", "head/kernel"}


def test_a_scanned_mlp_equals_its_layers_in_a_row():
  config = mlp.Config(widths=(12,) * 24, residual=True, scan=True, dropout=0.1, init_scale=0.3)
  model = config.build(jax.ShapeDtypeStruct((1, 4), jnp.float32), 3, nnx.Rngs(0))
  x = jax.random.normal(KEY, (5, 4))
  first, rest = model.layers
  assert rest.kernel[...].shape == (23, 12, 12)
  h = jax.nn.relu(x @ first.kernel[...] + first.bias[...])
  for i in range(23):
    h = h + jax.nn.relu(h @ rest.kernel[...][i] + rest.bias[...][i])
  np.testing.assert_allclose(call(model, x), h @ model.head.kernel[...] + model.head.bias[...], rtol=1e-4, atol=1e-4)
  assert not np.allclose(call(model, x, key=KEY), call(model, x))


def test_image_networks_flatten_images():
  images = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
  model = DIGITS_CNN.build(images, 10, nnx.Rngs(0))
  shapes = {path: value.shape for path, value in parameters(model).items()}
  assert shapes["convolutions/1/kernel"] == (3, 3, 32, 64)
  assert shapes["layers/0/kernel"] == (4 * 4 * 64, 128)
  assert mlp.Config(widths=(3,)).build(images, 2, nnx.Rngs(0))(jnp.ones((5, 8, 8, 1))).shape == (5, 2)


def test_batch_norm_is_noted_inside_a_network():
  config = cnn.Config(channels=(4,), kernels=(3,), strides=(1,), paddings=(1,), batch_norm=True)
  model = config.build(jax.ShapeDtypeStruct((1, 8, 8, 2), jnp.float32), 3, nnx.Rngs(0))
  assert "convolutions/0/bias" not in parameters(model)
  before = call(model, jnp.ones((6, 8, 8, 2)))
  model(jax.random.normal(KEY, (6, 8, 8, 2)), key=KEY)
  assert not np.allclose(call(model, jnp.ones((6, 8, 8, 2))), before)


def _transformer(inputs, **changes):
  return transformer.Config(block=BLOCK, max_length=16, **changes).build(inputs, 11, nnx.Rngs(0))


TOKENS = jax.ShapeDtypeStruct((2, 9), jnp.int32)
VECTORS = jax.ShapeDtypeStruct((2, 9, 5), jnp.float32)


@pytest.mark.parametrize("scan", [True, False])
def test_no_gradient_flows_from_the_future(scan):
  model = _transformer(VECTORS, scan=scan)
  x = jax.random.normal(KEY, (1, 9, 5))
  moved = jax.jit(jax.jacobian(lambda x: model(x)[0].sum(-1)))(x)[:, 0]  # (outputs at T, inputs at T, 5)
  reach = np.abs(moved).max(-1) > 0
  np.testing.assert_array_equal(reach, np.tril(np.ones((9, 9), bool)))


def test_an_encoder_sees_everything():
  model = _transformer(VECTORS, causal=False)
  moved = jax.jit(jax.jacobian(lambda x: model(x)[0].sum(-1)))(jax.random.normal(KEY, (1, 9, 5)))[:, 0]
  assert np.all(np.abs(moved).max(-1) > 0)


@pytest.mark.parametrize("causal,positions,pool", [
    (True, "learned", "none"), (False, "sinusoidal", "none"), (False, "learned", "mean"), (True, "sinusoidal", "last")])
def test_padding_changes_nothing(causal, positions, pool):
  model = _transformer(TOKENS, causal=causal, positions=positions, pool=pool)
  tokens = jax.random.randint(KEY, (2, 6), 0, 11)
  padded = jnp.pad(tokens, ((0, 0), (0, 3)), constant_values=7)
  segments = jnp.pad(jnp.ones((2, 6), jnp.int32), ((0, 0), (0, 3)))
  got = call(model, padded, segments_BT=segments)
  np.testing.assert_allclose(got[:, :6] if pool == "none" else got, call(model, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_packed_sequences_are_as_if_alone(positions):
  model = _transformer(TOKENS, positions=positions)
  a, b = jax.random.randint(KEY, (1, 4), 0, 11), jax.random.randint(jax.random.key(3), (1, 5), 0, 11)
  packed = call(model, jnp.concatenate([a, b], 1), segments_BT=jnp.asarray([[1] * 4 + [2] * 5]))
  np.testing.assert_allclose(packed[:, :4], call(model, a), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(packed[:, 4:], call(model, b), rtol=1e-4, atol=1e-5)


def test_the_last_position_answers():
  model = _transformer(TOKENS, pool="last")
  everywhere = _transformer(TOKENS)
  tokens = jax.random.randint(KEY, (2, 9), 0, 11)
  np.testing.assert_allclose(call(model, tokens), call(everywhere, tokens)[:, -1], rtol=1e-5, atol=1e-6)


def test_scan_changes_no_transformer():
  tokens = jax.random.randint(KEY, (2, 9), 0, 11)
  changes = {"num_layers": 3, "remat": "full"}
  scanned, looped = _transformer(TOKENS, scan=True, **changes), _transformer(TOKENS, **changes)
  np.testing.assert_allclose(call(scanned, tokens), call(looped, tokens), rtol=1e-5, atol=1e-6)
  assert parameters(scanned)["blocks/attention/query/kernel"].shape == (3, 16, 16)
  assert parameters(looped)["blocks/2/attention/query/kernel"].shape == (16, 16)


def test_tied_output():
  model = _transformer(TOKENS, tied=True)
  assert not [path for path in parameters(model) if "head" in path]
  assert call(model, jnp.zeros((2, 9), jnp.int32)).shape == (2, 9, 11)


def test_post_norm_ends_in_a_norm():
  config = transformer.Config(block=BlockConfig(dim=16, num_heads=2, mlp_dim=32, norm_first=False), max_length=16)
  model = config.build(TOKENS, 11, nnx.Rngs(0))
  assert "norm/scale" not in parameters(model)


@pytest.mark.parametrize("config,shape", [
    (mlp.Config(widths=(8, 8), dropout=0.1, scan=True), (2, 40)), (MNIST1D_CNN, (2, 40)), (DIGITS_CNN, (2, 8, 8, 1)),
    (gru.Config(width=3), (2, 40)), (transformer.Config(block=BLOCK), (2, 7, 5)),
    (transformer.Config(block=BLOCK, scan=True, remat="dots", pool="mean", positions="sinusoidal"), (2, 7, 5))])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_networks_follow_the_type_of_their_inputs(config, shape, dtype):
  with jax.enable_x64(True):
    inputs = jax.ShapeDtypeStruct(shape, dtype)
    definition, state = nnx.split(nnx.eval_shape(lambda: config.build(inputs, 3, nnx.Rngs(0))))
    wanted = jnp.float64 if dtype == jnp.float64 else jnp.float32
    assert all(p.dtype == wanted for p in jax.tree.leaves(state))
    assert jax.eval_shape(lambda state, x: nnx.merge(definition, state, copy=True)(x), state, inputs).dtype == dtype


def test_the_same_seed_is_the_same_network():
  build = lambda seed: parameters(MNIST1D_CNN.build(MNIST1D, 10, nnx.Rngs(seed)))
  a, b, c = build(0), build(0), build(1)
  assert all(np.array_equal(a[path], b[path]) for path in a)
  assert not any(np.array_equal(a[path], c[path]) for path in a)


@pytest.mark.parametrize("make", [
    lambda: mlp.Config(widths=(3, 4), residual=True), lambda: mlp.Config(widths=(3, 4), scan=True),
    lambda: mlp.Config(widths=(3,), scan=True), lambda: mlp.Config(widths=(3,), remat="full"),
    lambda: mlp.Config(widths=(0,)), lambda: mlp.Config(widths=(3,), dropout=1.0),
    lambda: cnn.Config(channels=(3,), kernels=(3, 3), strides=(1,), paddings=(0,)),
    lambda: cnn.Config(channels=(3,), kernels=(9,), strides=(1,), paddings=(0,)).build(
        jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32), 2, nnx.Rngs(0)),
    lambda: BlockConfig(dim=10, num_heads=4), lambda: transformer.Config(tied=True, pool="mean"),
    lambda: _transformer(VECTORS, tied=True), lambda: _transformer(jax.ShapeDtypeStruct((1, 17), jnp.int32))])
def test_impossible_networks_are_refused(make):
  with pytest.raises(ConfigError):
    make()
