"""ConvNeXt, by its formula, and what a layer sees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import rules
from research.config import ConfigError
from research.models import convnext

KEY = jax.random.key(7)
IMAGES = jax.ShapeDtypeStruct((2, 16, 24, 3), jnp.float32)
SMALL = convnext.Config(depths=(2, 1), dims=(4, 8), layer_scale=0.5)


def _parameters(model):
  return rules.paths(nnx.to_pure_dict(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize("config,size", [
    (convnext.convnext_t(), 28_589_128), (convnext.convnext_s(), 50_223_688), (convnext.convnext_b(), 88_591_464),
    (convnext.convnext_l(), 197_767_336)])
def test_published_sizes(config, size):
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  model = nnx.eval_shape(lambda: config.build(images, 1000, nnx.Rngs(0)))
  assert sum(p.size for p in _parameters(model).values()) == size


def _normalise(p, x):
  return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def _convolve(p, x, stride):
  return p["bias"] + jax.lax.conv_general_dilated(
      x, p["kernel"], (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _depthwise(p, x):
  x = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
  rows, columns = x.shape[1] - 6, x.shape[2] - 6
  return p["bias"] + sum(
      x[:, i:i + rows, j:j + columns] * p["kernel"][i, j, 0] for i in range(7) for j in range(7))


@pytest.mark.parametrize("scan", [pytest.param(True, marks=pytest.mark.heavy), False])
def test_the_network_is_its_formula(scan):
  model = dataclasses.replace(SMALL, scan=scan).build(IMAGES, 5, nnx.Rngs(0))
  moved = lambda p: p + 0.2 * np.cos(np.arange(float(p.size))).reshape(p.shape).astype(np.float32)
  nnx.update(model, jax.tree.map(moved, nnx.state(model)))
  params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
  x = jax.random.normal(KEY, IMAGES.shape)
  y = _normalise(params["stem_norm"], _convolve(params["patch_embedding"], x, 4))
  for stage, depth in enumerate(SMALL.depths):
    if stage:
      p = params["downsamplings"][stage - 1]
      y = _convolve(p["patch_embedding"], _normalise(p["norm"], y), 2)
    for i in range(depth):
      layers = params["stages"][stage]
      p = jax.tree.map(lambda a, i=i: a[i], layers) if scan else layers[i]
      h = _normalise(p["norm"], _depthwise(p["depthwise"], y)) @ p["mlp"]["up"]["kernel"] + p["mlp"]["up"]["bias"]
      h = jax.nn.gelu(h, approximate=False) @ p["mlp"]["down"]["kernel"] + p["mlp"]["down"]["bias"]
      y = y + p["layer_scale"] * h
  want = _normalise(params["norm"], y.mean((1, 2)))
  np.testing.assert_allclose(jax.jit(model.features)(x), want, rtol=1e-4, atol=1e-4)
  want = want @ params["head"]["kernel"] + params["head"]["bias"]
  np.testing.assert_allclose(jax.jit(lambda x: model(x))(x), want, rtol=1e-4, atol=1e-4)


def test_a_layer_is_nearly_the_identity_at_first_and_sees_three_pixels_far():
  layer = convnext.Layer(4, 1e-6, dtype=jnp.float32, rngs=nnx.Rngs(0))
  x = jax.random.normal(KEY, (1, 9, 9, 4))
  np.testing.assert_allclose(layer(x), x, atol=1e-5)
  layer.layer_scale[...] = jnp.ones(4)
  reach = np.abs(jax.jit(jax.grad(lambda x: layer(x)[0, 4, 4].sum()))(x))[0].max(-1) > 0
  want = np.zeros((9, 9), bool)
  want[1:8, 1:8] = True
  np.testing.assert_array_equal(reach, want)


def test_all_weights_start_with_the_same_spread():
  model = convnext.Config(depths=(1,), dims=(64,)).build(jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32), 50, nnx.Rngs(0))
  for path, value in _parameters(model).items():
    if path.endswith("kernel"):
      np.testing.assert_allclose(value.std(), 0.02, rtol=4 / value.size**0.5, err_msg=path)


def test_stochastic_depth_is_for_training():
  images = jnp.asarray(jax.random.normal(KEY, IMAGES.shape))
  model = dataclasses.replace(SMALL, stochastic_depth=0.9).build(IMAGES, 5, nnx.Rngs(0))
  plain = SMALL.build(IMAGES, 5, nnx.Rngs(0))
  run = lambda model, key=None: jax.jit(lambda x: model(x, key=key))(images)
  np.testing.assert_allclose(run(model), run(plain), rtol=1e-5, atol=1e-5)
  assert not np.allclose(run(model, KEY), run(plain), atol=1e-6)


def test_mistakes_are_named():
  with pytest.raises(ConfigError, match="depths"):
    convnext.Config(depths=(1, 2), dims=(4,))
  with pytest.raises(ConfigError, match="patches of side 8"):
    SMALL.build(jax.ShapeDtypeStruct((2, 20, 24, 3), jnp.float32), 5, nnx.Rngs(0))
