"""Wide residual networks: sizes, operations, and what a block adds to."""

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
  x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)

  @jax.jit
  def outputs():
    rngs = nnx.Rngs(0)
    conv = lambda n, m, size, stride: Conv(n, m, (size, size), stride=stride, padding=size // 2, bias=False, rngs=rngs)
    same, other = (wide_resnet.Block(wide_resnet.Config(), 4, n, stride, conv, BatchNorm) for n, stride in ((4, 1), (6, 2)))
    for block in (same, other):
      block.second.kernel[...] = jnp.zeros_like(block.second.kernel[...])
    return same(x), other(x), other.shortcut(jax.nn.relu(x / np.float32(np.sqrt(1 + 1e-5))))

  same, other, shortcut = outputs()
  np.testing.assert_array_equal(same, x)
  np.testing.assert_allclose(other, shortcut, atol=1e-5)


def test_impossible_ones_are_refused():
  with pytest.raises(ConfigError, match="depth=20"):
    wide_resnet.Config(depth=20)
  with pytest.raises(ConfigError, match="width=0"):
    wide_resnet.Config(width=0)
  with pytest.raises(ConfigError, match="needs images"):
    wide_resnet.Config(depth=10, width=1).build(jax.ShapeDtypeStruct((1, 32), jnp.float32), 10, nnx.Rngs(0))
