"""Patches and the embeddings of their places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.nn.patches import PatchEmbedding, resample_positions, sincos_2d

KEY = jax.random.key(4)


def test_a_patch_embedding_is_a_convolution_with_the_stride_of_its_side():
  layer = PatchEmbedding(3, 5, 4, rngs=nnx.Rngs(0))
  layer.bias[...] = jnp.arange(5.0)
  x = jax.random.normal(KEY, (2, 12, 8, 3))
  want = jax.lax.conv_general_dilated(x, layer.kernel[...], (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
  np.testing.assert_allclose(jax.jit(lambda x: layer(x))(x), want + jnp.arange(5.0), rtol=1e-5, atol=1e-5)
  moved = jax.jit(jax.jacobian(lambda x: layer(x)[0].sum(-1)))(x)[:, :, 0]  # (3, 2) patches by pixels
  reach = np.abs(moved).sum(-1) > 0
  for row in range(3):
    for column in range(2):
      want = np.zeros((12, 8), bool)
      want[4 * row:4 * row + 4, 4 * column:4 * column + 4] = True
      np.testing.assert_array_equal(reach[row, column], want)


def test_fixed_positions_are_sines_and_cosines_of_column_and_row():
  vectors = sincos_2d((3, 4), 16).reshape(3, 4, 16)
  frequencies = 10_000.0 ** (-np.arange(4) / 3)
  for row in range(3):
    for column in range(4):
      x, y = column * frequencies, row * frequencies
      np.testing.assert_allclose(vectors[row, column], np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)]))


def _learned(grid, num_prefix=1):
  count = num_prefix + grid[0] * grid[1]
  return np.cos(np.arange(count * 2.0) ** 1.5).reshape(count, 2).astype(np.float32)


def test_resampling_to_the_same_grid_is_the_identity():
  np.testing.assert_array_equal(resample_positions(_learned((3, 4)), (3, 4), (3, 4), 1), _learned((3, 4)))


# timm 1.0's resample_abs_pos_embed of the same values, first column.
@pytest.mark.parametrize("before,after,want", [
    ((3, 3), (5, 4), [
        1, -1.0007057, -0.4836498, -0.285134, -0.5296105, -0.9745543, -0.1022164, 0.0074397, -0.7143306, -0.8974606, 0.4341981,
        0.4599842, -0.8362679, -0.6790641, 0.2160084, 0.5304822, 0.0672098, -0.542813, 0.0094729, 0.5253749, 0.6814675]),
    ((4, 4), (2, 3), [1, -0.0385019, -0.5155224, -0.3383578, 0.4656709, -0.367451, 0.0746052])])
def test_resampling_is_timms(before, after, want):
  np.testing.assert_allclose(resample_positions(_learned(before), before, after, 1)[:, 0], want, atol=1e-6)


def test_resampling_keeps_prefix_constants_and_type():
  embedding = np.concatenate([_learned((1, 1)), np.full((12, 2), 0.25, np.float32)]).astype(np.float16)
  moved = resample_positions(embedding, (3, 4), (7, 2), 2)
  assert moved.shape == (2 + 7 * 2, 2) and moved.dtype == np.float16
  np.testing.assert_array_equal(moved[:2], embedding[:2])
  np.testing.assert_array_equal(moved[2:], np.float16(0.25))
