"""Residual networks: published sizes, where strides are, shortcuts, the first step's branches, running statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import flops, rules
from research.config import ConfigError
from research.models import resnet

KEY = jax.random.key(0)
TINY = {"depths": (1, 1), "channels": (4, 8)}


def abstract(config, side=224, num_outputs=1000):
  images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  return nnx.split(nnx.eval_shape(lambda: config.build(images, num_outputs, nnx.Rngs(0))), nnx.Param, ...)


def size(state):
  return sum(p.size for p in jax.tree.leaves(state))


def images(side=32, batch=2):
  return jax.random.normal(KEY, (batch, side, side, 3))


@pytest.mark.parametrize("config,parameters", [
    (resnet.resnet18(), 11_689_512), (resnet.resnet34(), 21_797_672), (resnet.resnet50(), 25_557_032),
    (resnet.resnet101(), 44_549_160)])
def test_sizes_are_torchvisions(config, parameters):
  assert size(abstract(config)[1]) == parameters


def test_size_is_keras():
  _, params, statistics = abstract(resnet.resnet50_keras())
  assert (size(params) + size(statistics), size(statistics)) == (25_636_712, 53_120)


@pytest.mark.parametrize("depth,millions", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)])
def test_cifar_sizes_are_the_papers(depth, millions):
  """Table 6 (which rounds 1.73 to 1.7)."""
  _, params, _ = abstract(resnet.resnet_cifar(depth), 32, 10)
  assert round(size(params) / 1e6, 2) == millions
  assert not [path for path in rules.paths(nnx.to_pure_dict(params)) if "shortcut" in path]


@pytest.mark.parametrize("config,billions", [(resnet.resnet50(), 4.09), (resnet.resnet50(stride_first=True), 3.8)])
def test_operations_are_the_published(config, billions):
  """4.09e9 multiplications (torchvision, version 1.5); 3.8e9 in the paper's table 1. Products with padding, 3.5 % of them all,
  are left out here."""
  definition, *state = abstract(config)
  x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  counted = flops.count(lambda state, x: nnx.merge(definition, *state, copy=True)(x), state, x).total / 2e9
  assert 0.96 * billions < counted < 1.02 * billions


@pytest.mark.parametrize("side,config,shape", [
    (224, resnet.resnet50(), (7, 7, 2048)), (224, resnet.resnet50_keras(), (7, 7, 2048)), (97, resnet.resnet18(), (4, 4, 512)),
    (32, resnet.resnet_cifar(20), (8, 8, 64))])
def test_maps(side, config, shape):
  definition, *state = abstract(config, side)
  x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  maps, features = jax.eval_shape(
      lambda state, x: (lambda m: (m.maps(x), m.features(x)))(nnx.merge(definition, *state, copy=True)), state, x)
  assert (maps.shape, features.shape) == ((2, *shape), (2, shape[-1]))


def test_the_stride_is_on_the_3x3_or_on_the_first():
  strides = lambda config: [layer.conv.stride for layer in config.build(images(), 2, nnx.Rngs(0)).stages[1][0].branch]
  assert strides(resnet.resnet50(**TINY)) == [1, 2, 1]
  assert strides(resnet.resnet50_keras(**TINY)) == [2, 1, 1]
  assert strides(resnet.resnet18(**TINY)) == [2, 1]


def test_a_zero_initialised_branch_leaves_the_shortcut():
  model = resnet.resnet50(**TINY, zero_init=True).build(images(), 2, nnx.Rngs(0))
  x = jax.random.normal(KEY, (2, 8, 8, 4))
  block = model.stages[0][0]
  np.testing.assert_allclose(block(x, key=KEY), jax.nn.relu(block.shortcut(x, key=KEY)), rtol=1e-6)


def test_option_a_subsamples_and_adds_zeros():
  block = resnet.resnet_cifar(8, zero_init=True).build(images(), 10, nnx.Rngs(0)).stages[1][0]
  x = jax.random.normal(KEY, (2, 8, 8, 16))
  want = jnp.concatenate([x[:, ::2, ::2], jnp.zeros((2, 4, 4, 16))], -1)
  np.testing.assert_allclose(block(x, key=KEY), jax.nn.relu(want), rtol=1e-6)


def test_initial_values_keep_the_gradients_size():
  """he_normal for a unit's outputs: 2/(9·outputs) of a 3x3 (torchvision's kaiming_normal_, mode "fan_out")."""
  model = resnet.resnet18(depths=(1, 1), channels=(32, 64)).build(images(), 2, nnx.Rngs(0))
  kernel = model.stages[1][0].branch[0].conv.kernel[...]
  np.testing.assert_allclose(kernel.std(), (2 / (9 * 64)) ** 0.5, rtol=0.03)


def test_statistics_are_learned_in_training_unless_frozen():
  for frozen in (False, True):
    model = resnet.resnet_cifar(8, frozen_statistics=frozen).build(images(), 10, nnx.Rngs(0))
    before = model(images())
    training = model(images(), key=KEY)
    assert np.array_equal(training, before) == frozen
    assert np.array_equal(model(images()), before) == frozen


@pytest.mark.parametrize("make", [
    lambda: resnet.resnet50(depths=(1,)), lambda: resnet.resnet_cifar(21), lambda: resnet.resnet_cifar(2),
    lambda: resnet.resnet18().build(jax.ShapeDtypeStruct((2, 40), jnp.float32), 2, nnx.Rngs(0))])
def test_impossible_ones_are_refused(make):
  with pytest.raises(ConfigError):
    make()
