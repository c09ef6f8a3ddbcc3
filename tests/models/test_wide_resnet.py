"""Wide residual networks: sizes, operations, and what a block adds to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.config import ConfigError
from research.models import wide_resnet
from research.nn.convolution import Conv
from research.nn.norms import BatchNorm
from research.training.state import split

IMAGES = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)


@pytest.mark.parametrize("depth, width, parameters", [(16, 4, 2_748_890), (28, 10, 36_479_194), (40, 4, 8_949_210)])
def test_sizes_are_the_papers(depth, width, parameters):
  """Table 4 has 2.7, 36.5 and 8.9 million."""
  config = wide_resnet.Config(depth=depth, width=width)
  _, params, _ = jax.eval_shape(lambda: split(config.build(IMAGES, 10, nnx.Rngs(0))))
  assert sum(p.size for p in jax.tree.leaves(params)) == parameters


def test_a_block_adds_to_its_input_or_to_what_it_normalised():
  norm = functools.partial(BatchNorm, dtype=jnp.float32)
  rngs = nnx.Rngs(0)
  conv = lambda n, m, size, stride: Conv(n, m, (size, size), stride=stride, padding=size // 2, bias=False, rngs=rngs)
  x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
  same = wide_resnet.Block(wide_resnet.Config(), 4, 4, 1, conv, norm)
  same.second.kernel[...] = jnp.zeros_like(same.second.kernel[...])
  np.testing.assert_array_equal(same(x), x)
  other = wide_resnet.Block(wide_resnet.Config(), 4, 6, 2, conv, norm)
  other.second.kernel[...] = jnp.zeros_like(other.second.kernel[...])
  expected = other.shortcut(jax.nn.relu(x / np.sqrt(1 + 1e-5)))
  np.testing.assert_allclose(other(x), expected, atol=1e-5)


def test_impossible_ones_are_refused():
  with pytest.raises(ConfigError, match="depth=20"):
    wide_resnet.Config(depth=20)
  with pytest.raises(ConfigError, match="width=0"):
    wide_resnet.Config(width=0)
  with pytest.raises(ConfigError, match="needs images"):
    wide_resnet.Config(depth=10, width=1).build(jax.ShapeDtypeStruct((1, 32), jnp.float32), 10, nnx.Rngs(0))
