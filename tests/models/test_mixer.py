"""The MLP-Mixer, by its formula and by what each of its two networks sees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import rules
from research.config import ConfigError
from research.models import mixer

KEY = jax.random.key(6)
IMAGES = jax.ShapeDtypeStruct((2, 12, 8, 3), jnp.float32)
SMALL = mixer.Config(patch=4, dim=16, num_layers=2, token_dim=8, channel_dim=24)


def _build(config=SMALL):
  model = config.build(IMAGES, 5, nnx.Rngs(0))
  model.head.kernel[...] = jax.random.normal(KEY, (16, 5))
  return model


def _parameters(model):
  return rules.paths(nnx.to_pure_dict(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize("config,size", [
    (mixer.mixer_s(), 18_528_264), (mixer.mixer_b(), 59_880_472), (mixer.mixer_l(), 208_196_168),
    (mixer.mixer_s(patch=32), 19_104_624)])
def test_published_sizes(config, size):
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  model = nnx.eval_shape(lambda: config.build(images, 1000, nnx.Rngs(0)))
  assert sum(p.size for p in _parameters(model).values()) == size


def _normalise(p, x):
  return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def _mlp(p, x):
  h = x @ p["up"]["kernel"] + p["up"]["bias"]
  return jax.nn.gelu(h, approximate=False) @ p["down"]["kernel"] + p["down"]["bias"]


@pytest.mark.parametrize("scan", [pytest.param(True, marks=pytest.mark.heavy), False])
def test_the_network_is_its_formula(scan):
  model = _build(dataclasses.replace(SMALL, scan=scan))
  params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
  x = jax.random.normal(KEY, IMAGES.shape)
  y = model.patch_embedding(x).reshape(2, 6, 16)
  for i in range(2):
    p = jax.tree.map(lambda a, i=i: a[i], params["layers"]) if scan else params["layers"][i]
    y = y + _mlp(p["token_mixing"], _normalise(p["token_norm"], y).swapaxes(1, 2)).swapaxes(1, 2)
    y = y + _mlp(p["channel_mixing"], _normalise(p["channel_norm"], y))
  want = _normalise(params["norm"], y).mean(1)
  np.testing.assert_allclose(jax.jit(model.features)(x), want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(jax.jit(lambda x: model(x))(x), want @ params["head"]["kernel"], rtol=1e-4, atol=1e-4)


def test_patches_meet_in_the_token_network_only():
  layer = mixer.Layer(SMALL, 6, dtype=jnp.float32, rngs=nnx.Rngs(0))
  x = jnp.cos(jnp.arange(96.0)).reshape(1, 6, 16)
  reach = lambda: np.abs(jax.jit(jax.jacobian(lambda x: layer(x)[0].sum(-1)))(x))[:, 0]
  assert np.all(reach().max(-1) > 1e-6)
  layer.token_mixing.down.kernel[...] = jnp.zeros((8, 6))
  np.testing.assert_array_equal(reach().max(-1) > 1e-6, np.eye(6, dtype=bool))


def test_stochastic_depth_is_for_training():
  model = _build(dataclasses.replace(SMALL, stochastic_depth=0.5))
  x = jax.random.normal(KEY, IMAGES.shape)
  np.testing.assert_allclose(jax.jit(lambda x: model(x))(x), jax.jit(lambda x: _build()(x))(x), rtol=1e-5, atol=1e-5)
  assert not np.allclose(jax.jit(lambda x: model(x, key=KEY))(x), model(x))


def test_mistakes_are_named():
  with pytest.raises(ConfigError, match="token_dim"):
    dataclasses.replace(SMALL, token_dim=0)
  with pytest.raises(ConfigError, match="patches of side 5"):
    dataclasses.replace(SMALL, patch=5).build(IMAGES, 5, nnx.Rngs(0))
