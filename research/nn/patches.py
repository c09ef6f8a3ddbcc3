"""Images cut into patches, and where the patches are.

Shapes: B examples, C channels, P side of a patch, D model; a grid is (rows, columns) of patches.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from research.config import ConfigError
from research.nn.initializers import Init, initialize
from research.nn.products import product


class PatchEmbedding(nnx.Module):
  """A dense layer on each patch: a convolution whose stride is its kernel's side, done as one product of matrices."""

  def __init__(self, num_inputs: int, dim: int, side: int, *, init: Init = "lecun_normal", scale: float = 1.0,
               dtype=jnp.float32, rngs: nnx.Rngs):
    fan_in, fan_out = side * side * num_inputs, side * side * dim
    self.kernel = nnx.Param(initialize(
        init, rngs.params(), (side, side, num_inputs, dim), dtype, fan_in=fan_in, fan_out=fan_out, scale=scale))
    self.bias = nnx.Param(jnp.zeros(dim, dtype))

  def __call__(self, x_BHWC: jax.Array) -> jax.Array:
    """x_BHWC: sides multiples of P. Returns (B, H/P, W/P, D)."""
    kernel_PPCD = self.kernel[...].astype(x_BHWC.dtype)
    side = kernel_PPCD.shape[0]
    batch, height, width, _ = x_BHWC.shape
    rows, columns = height // side, width // side
    x = x_BHWC.reshape(batch, rows, side, columns, side, -1).swapaxes(2, 3)
    y = product(x.reshape(batch * rows * columns, -1), kernel_PPCD.reshape(-1, kernel_PPCD.shape[-1]))
    return (y + self.bias[...].astype(y.dtype)).reshape(batch, rows, columns, -1)


def grid_of(inputs: jax.ShapeDtypeStruct, side: int) -> tuple[int, int]:
  """Rows and columns of patches in images (B, H, W, C). Raises ConfigError if they do not fit."""
  if len(inputs.shape) != 4 or inputs.shape[1] % side or inputs.shape[2] % side:
    raise ConfigError(f"patches of side {side} need images (B, H, W, C) whose sides are multiples of it, not {inputs.shape}")
  return inputs.shape[1] // side, inputs.shape[2] // side


def sincos_2d(grid: tuple[int, int], dim: int) -> np.ndarray:
  """Fixed vectors of the patches' places (Beyer et al. 2022), by Moco-v3's formula (Chen et al. 2021).

  A quarter each of sin and cos of the column, then of the row, times 10000^(−i/(dim/4 − 1)), i = 0, 1, ...

  Returns:
    (rows·columns, dim), float64; dim is a multiple of 4 and at least 8.
  """
  frequencies = 10_000.0 ** (-np.arange(dim // 4) / (dim // 4 - 1))
  row, column = (place.reshape(-1, 1) * frequencies for place in np.mgrid[:grid[0], :grid[1]])
  return np.concatenate([np.sin(column), np.cos(column), np.sin(row), np.cos(row)], 1)


def resample_positions(embedding: np.ndarray, from_grid: tuple[int, int], to_grid: tuple[int, int],
                       num_prefix: int) -> np.ndarray:
  """Position embeddings for another grid: bicubic (Keys, a = −1/2), antialiased, as timm's resample_abs_pos_embed does.

  Args:
    embedding: (num_prefix + rows·columns, D), such as was learned.
    from_grid: its rows and columns.
    to_grid: those that are wanted.
    num_prefix: leading entries that have no place (class token), which stay as they are.

  Returns:
    (num_prefix + rows·columns, D) for to_grid.
  """
  assert len(embedding) == num_prefix + from_grid[0] * from_grid[1], (embedding.shape, from_grid, num_prefix)
  if from_grid == to_grid:
    return embedding
  prefix, placed = np.split(np.asarray(embedding), [num_prefix])
  dim = placed.shape[-1]
  wide = jnp.asarray(placed, jnp.promote_types(placed.dtype, jnp.float32)).reshape(*from_grid, dim)
  moved = jax.image.resize(wide, (*to_grid, dim), "bicubic", antialias=True, precision="highest")
  return np.concatenate([prefix, np.asarray(moved).reshape(-1, dim).astype(placed.dtype)])
