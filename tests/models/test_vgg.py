"""VGG: published sizes, Keras' names, and the order in which maps are flattened."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import flops, rules
from research.config import ConfigError
from research.models import vgg


def abstract(config, side=224, num_outputs=1000):
  images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  return nnx.split(nnx.eval_shape(lambda: config.build(images, num_outputs, nnx.Rngs(0))))


def paths(state):
  return rules.paths(nnx.to_pure_dict(state))


@pytest.mark.parametrize("config,size", [
    (vgg.vgg16(), 138_357_544), (vgg.vgg19(), 143_667_240),
    (vgg.vgg16(widths=()), 14_714_688 + 25_088 * 1000 + 1000)])  # the convolutions alone: Keras' include_top=False
def test_published_sizes(config, size):
  assert sum(p.size for p in paths(abstract(config)[1]).values()) == size


def test_layers_have_keras_names():
  found = paths(abstract(vgg.vgg16())[1])
  layers = [f"block{i}_conv{j}" for i, depth in enumerate((2, 2, 3, 3, 3), 1) for j in range(1, depth + 1)]
  assert {path.split("/")[0] for path in found} == {*layers, "fc1", "fc2", "head"}
  assert found["block1_conv1/kernel"].shape == (3, 3, 3, 64)
  assert found["fc1/kernel"].shape == (7 * 7 * 512, 4096)


def test_operations_are_15_5_billion_products():
  """Simonyan, Zisserman's VGG-16 at 224 x 224: 15.5e9 multiplications, as the literature counts them (padding too)."""
  definition, state = abstract(vgg.vgg16())
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  counted = flops.count(lambda state, x: nnx.merge(definition, state, copy=True)(x), state, images)
  # Ours leaves out products with padding: of a side of n pixels 1 - (1 - 2/3n)^2, 3.3 % over all layers.
  assert 0.965 * 2 * 15.47e9 < counted.total <= 0.97 * 2 * 15.47e9
  assert counted.products == 2 * (25_088 * 4096 + 4096 * 4096 + 4096 * 1000)


SMALL = vgg.vgg16(depths=(1, 2), channels=(4, 6), widths=(10,))


def test_any_size_of_at_least_a_pixel_of_maps():
  for side, places in ((32, 1), (47, 1), (64, 4), (96, 9)):
    definition, state = abstract(vgg.vgg16(widths=(1024,)), side, 8)
    assert paths(state)["fc1/kernel"].shape == (places * 512, 1024)
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    assert jax.eval_shape(lambda s, x, d=definition: nnx.merge(d, s, copy=True)(x), state, images).shape == (2, 8)
  with pytest.raises(ConfigError, match="at least 32 x 32"):
    abstract(vgg.vgg16(), 31)


def test_maps_are_flattened_row_by_row_channels_last():
  images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  model = vgg.vgg16(depths=(1, 2), channels=(4, 6), widths=()).build(images, 5, nnx.Rngs(0))
  maps = model.maps(images)
  assert maps.shape == (2, 2, 2, 6)
  np.testing.assert_array_equal(model.features(images), np.asarray(maps).reshape(2, 24))
  np.testing.assert_allclose(model(images), model.head(model.features(images)), rtol=1e-6)


def test_dropout_is_after_the_dense_layers_in_training():
  images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
  model = SMALL.build(images, 5, nnx.Rngs(0))
  kept = model.features(images, key=jax.random.key(1))
  plain = model.features(images)
  np.testing.assert_allclose(kept[kept != 0], 2 * plain[kept != 0], rtol=1e-6)
  assert 0 < np.sum((kept == 0) & (plain != 0)) < plain.size


@pytest.mark.parametrize("changes", [{"depths": (1,)}, {"widths": (0,)}, {"dropout": 1.0}])
def test_impossible_ones_are_refused(changes):
  with pytest.raises(ConfigError):
    vgg.vgg16(**changes)
