"""3x3 convolution with 16 multiplications where 36 are defined: F(2x2, 3x3) of Lavin and Gray (2016), section 4.1.

Each tile of 2x2 outputs sees 4x4 inputs. Both tile and kernel are transformed, Bᵀ d B and G g Gᵀ, multiplied entry by entry
and summed over channels, 16 products of matrices, and transformed back, Aᵀ m A. In float32 the result is within 2e-6 of
the largest output, as the plain sum is.

Shapes: B examples, H height, W width, C channels, K outputs, P tiles.
"""

import functools

import jax
import jax.numpy as jnp

from research.nn.products import added

_TRANSFORMED = 2_400_000  # entries of a block's transformed tiles: they stay in the cache
_Padding = tuple[tuple[int, int], tuple[int, int]]


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def convolve(x_BHWC: jax.Array, kernel_33CK: jax.Array, padding: _Padding) -> jax.Array:
  """Cross-correlation with stride 1; padding is at most 2. Returns (B, rows, columns, K)."""
  return _convolve(x_BHWC, kernel_33CK, padding)


@functools.partial(convolve.defjvp, symbolic_zeros=True)
def _convolve_jvp(padding, primals, tangents):
  # The gradient of the image is again such a convolution, of the outputs' gradient. So the derivative along the image is
  # written as what is transposed into it: itself would be transposed into adding up overlapping tiles, at half the speed.
  (x, kernel), (dx, dkernel) = primals, tangents
  y = convolve(x, kernel, padding)
  opposite = ((2 - padding[0][0], 2 - padding[0][1]), (2 - padding[1][0], 2 - padding[1][1]))
  along_image = lambda: jax.linear_transpose(lambda g: _convolve(g, kernel, opposite, turned=True), y)(dx)[0]
  return y, added((dx, along_image), (dkernel, lambda: _convolve(x, dkernel, padding)))


def _convolve(x_BHWC, kernel_33CK, padding, turned=False):
  """With `turned`, the kernel is turned around, and C and K change places."""
  rows, columns = (side + sum(pad) - 2 for side, pad in zip(x_BHWC.shape[1:3], padding))
  # An odd side is filled up to whole tiles.
  filled = ((0, 0), *((first, last + n % 2) for (first, last), n in zip(padding, (rows, columns))), (0, 0))
  x_BHWC = jnp.pad(x_BHWC, filled)
  kernels = _square(kernel_33CK, _of_kernel)
  if turned:  # turning it around exchanges the first and the last of the four
    kernels = [[kernels[i][j] for j in (3, 1, 2, 0)] for i in (3, 1, 2, 0)]
  batch, height, width, num_inputs = x_BHWC.shape
  largest = _TRANSFORMED // (4 * height * width * max(kernel_33CK.shape[2:]))
  images = max((n for n in range(1, batch + 1) if batch % n == 0 and n <= largest), default=1)
  blocks = x_BHWC.reshape(batch // images, images, height, width, num_inputs)
  # Checkpointed, or the transformed tiles of all blocks would be kept for the gradient.
  one = jax.checkpoint(functools.partial(_block, turned=turned), prevent_cse=False)
  _, y = jax.lax.scan(lambda _, block: (None, one(block, kernels)), None, blocks)
  return y.reshape(batch, height - 2, width - 2, -1)[:, :rows, :columns]


def _block(x_BHWC, kernels_CK, turned):
  batch, height, width, _ = x_BHWC.shape
  entries = [[x_BHWC[:, i:height - 2 + i:2, j:width - 2 + j:2] for j in range(4)] for i in range(4)]
  tiles_PC = [[tile.reshape(-1, tile.shape[-1]) for tile in row] for row in _square(entries, _of_tile)]
  summed = ((1,), (1 if turned else 0,)), ((), ())
  products_PK = [[jax.lax.dot_general(*pair, summed) for pair in zip(*rows)] for rows in zip(tiles_PC, kernels_CK)]
  outputs = [[y.reshape(batch, height // 2 - 1, 1, width // 2 - 1, 1, -1) for y in row]
             for row in _square(products_PK, _of_product)]
  return jnp.concatenate([jnp.concatenate(row, 4) for row in outputs], 2).reshape(batch, height - 2, width - 2, -1)


def _square(entries, transform):
  """The transform along both dimensions of a square of arrays."""
  rows = [transform(row) for row in entries]
  return [list(row) for row in zip(*(transform(column) for column in zip(*rows)))]


def _of_tile(d):  # Bᵀ
  return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


def _of_kernel(g):  # G
  return g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]


def _of_product(m):  # Aᵀ
  return m[0] + m[1] + m[2], m[1] - m[2] - m[3]
