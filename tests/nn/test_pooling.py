"""Pooling by its definition, with the paddings of torch and Keras, and where its gradient goes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.nn.pooling import average_pool, global_average_pool, max_pool

KEY = jax.random.key(0)
SHAPES = [(2, 2, 0, 8), (2, 2, 0, 7), (3, 2, 1, 9), (3, 2, "SAME", 8), (3, 1, "SAME", 5), (2, 2, "SAME", 7), (3, 3, 0, 9)]


def windows(x, size, stride, padding):
  """For each output its window's entries, of all channels: [(row, column, (entries, C))]; one image (H, W, C)."""
  side = len(x)
  total = max((-(-side // stride) - 1) * stride + size - side, 0) if padding == "SAME" else 2 * padding
  before = total // 2
  outputs = (side + total - size) // stride + 1
  for i, j in itertools.product(range(outputs), repeat=2):
    rows, columns = (np.arange(size) + k * stride - before for k in (i, j))
    inside = [x[r, c] for r in rows for c in columns if 0 <= r < side and 0 <= c < side]
    yield i, j, np.stack(inside)


@pytest.mark.parametrize("size,stride,padding,side", SHAPES)
def test_each_output_is_of_its_window(size, stride, padding, side):
  x = jax.random.normal(KEY, (1, side, side, 3)) - 3  # negative: padding must not win
  largest = max_pool(x, size, stride=stride, padding=padding)
  mean = average_pool(x, size, stride=stride, padding=padding)
  mean_of_real = average_pool(x, size, stride=stride, padding=padding, count_padding=False)
  seen = 0
  for i, j, inside in windows(np.asarray(x[0]), size, stride, padding):
    np.testing.assert_array_equal(largest[0, i, j], inside.max(0))
    np.testing.assert_allclose(mean[0, i, j], inside.sum(0) / size**2, rtol=1e-5)
    np.testing.assert_allclose(mean_of_real[0, i, j], inside.mean(0), rtol=1e-5)
    seen += 1
  assert largest.shape == mean.shape == (1, seen**0.5, seen**0.5, 3)


@pytest.mark.parametrize("size,stride,padding,side", SHAPES)
def test_the_gradient_of_the_largest_is_xlas_with_ties(size, stride, padding, side):
  x = jnp.floor(4 * jax.random.uniform(KEY, (2, side, side, 3)))
  pad = padding if padding == "SAME" else ((0, 0), (padding, padding), (padding, padding), (0, 0))
  xlas = lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), pad)
  ours = lambda x: max_pool(x, size, stride=stride, padding=padding)
  y, back = jax.vjp(xlas, x)
  g = jax.random.normal(KEY, y.shape)
  np.testing.assert_allclose(jax.jit(lambda x: jax.vjp(ours, x)[1](g)[0])(x), back(g)[0], rtol=1e-6, atol=1e-6)
  # Linear where there is no tie: no curvature, in forward and in reverse.
  loss = lambda x: jnp.sum(ours(x) ** 2)
  curved, gradient = jax.jit(lambda x: (jax.jvp(jax.grad(loss), [x], [x])[1], jax.grad(loss)(x)))(x)
  np.testing.assert_allclose(curved, gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_pooling_follows_the_type_of_its_input(dtype):
  with jax.enable_x64(True):
    x = jnp.ones((2, 8, 8, 3), dtype)
    for pooled in (max_pool(x, 3, stride=2, padding=1), average_pool(x, 2, stride=2), global_average_pool(x)):
      assert pooled.dtype == dtype


def test_the_global_mean_is_not_summed_up_in_low_precision():
  x = jnp.full((1, 64, 64, 1), 1.0, jnp.bfloat16)
  assert global_average_pool(x)[0, 0] == average_pool(x, 64, stride=1)[0, 0, 0, 0] == 1.0
