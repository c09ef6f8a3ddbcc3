"""What an explanation speaks of: the cells of an image or a spectrogram, the tokens of a text, the numbers of a vector.

Shapes: B examples, C copies of the batch, U units of an example, P... places of an input: what is left of it without its
channels.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Units:
  """How the places of an input fall into units.

  Attributes:
    places: the sides of an example: (H, W) of images, (T, F) of a spectrogram, (N,) of texts and vectors.
    cell: places in a unit, along each side; the last ones may be smaller.
    has_channels: whether an input has one more dimension than places.
  """

  places: tuple[int, ...]
  cell: tuple[int, ...]
  has_channels: bool

  @property
  def grid(self) -> tuple[int, ...]:
    """Units along each side."""
    return tuple(-(-side // cell) for side, cell in zip(self.places, self.cell))

  @property
  def num(self) -> int:
    return math.prod(self.grid)

  def pool(self, map_BP: jax.Array) -> jax.Array:
    """(B, P...) to (B, U): the sums over the units."""
    pad = [(0, n * cell - side) for n, cell, side in zip(self.grid, self.cell, self.places)]
    split = [size for n, cell in zip(self.grid, self.cell) for size in (n, cell)]
    cells = jnp.pad(map_BP, ((0, 0), *pad)).reshape(len(map_BP), *split)
    return cells.sum(tuple(range(2, cells.ndim, 2))).reshape(len(map_BP), -1)

  def repeat(self, units_NU: jax.Array) -> jax.Array:
    """(N, U) to (N, P...): each place has its unit's value."""
    x = units_NU.reshape(-1, *self.grid)
    for axis, (cell, side) in enumerate(zip(self.cell, self.places), 1):
      x = jax.lax.slice_in_dim(jnp.repeat(x, cell, axis), 0, side, axis=axis)
    return x

  def spread(self, units_BU: jax.Array) -> jax.Array:
    """(B, U) to (B, P...), evenly: `pool` gives it back."""
    return self.repeat(units_BU / self.pool(jnp.ones((1, *self.places))))

  def keep(self, x: jax.Array, baseline: jax.Array, masks_CBU: jax.Array) -> jax.Array:
    """Copies (C·B, ...) of the inputs x (B, ...): units are x's where the mask is 1, the baseline's where it is 0."""
    masks = self.repeat(masks_CBU.reshape(-1, self.num)).astype(x.dtype).reshape(*masks_CBU.shape[:2], *self.places)
    masks = masks[..., None] if self.has_channels else masks
    return (baseline + masks * (x - baseline)).reshape(-1, *x.shape[1:])

  def places_of(self, x: jax.Array) -> jax.Array:
    """(B, ...) to (B, P...): the sum over the channels."""
    return x.sum(-1) if self.has_channels else x


def units_of(shape: tuple[int, ...], is_tokens: bool, cells: int, views: int = 1) -> Units:
  """The units of inputs.

  Args:
    shape: (B, N, D) of tokens; (B, H, W, C), (B, T, F) or (B, F) of others.
    is_tokens: each position is a unit.
    cells: how many units a side of an image or a spectrogram has at most.
    views: how many images of one size are below each other in an input; no unit is in two of them.
  """
  if is_tokens:
    return Units((shape[1],), (1,), has_channels=True)
  assert 2 <= len(shape) <= 4, shape
  places = shape[1:3]
  cell = tuple(-(-side // cells) for side in places) if len(places) == 2 else (1,)
  if views > 1:
    height = places[0] // views
    cell = (next(rows for rows in range(-(-height // cells), height + 1) if height % rows == 0), cell[1])
  return Units(places, cell, has_channels=len(shape) == 4)
