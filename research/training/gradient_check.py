"""Backpropagation against central differences, parameter by parameter."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research import rules

_STEPS = (1e-4, 1e-5, 1e-6)
_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Row:
  """The derivative along one random direction in one parameter.

  Attributes:
    path: the parameter.
    automatic, central: the derivative by autodiff and by central differences.
    error: their difference over the larger of the two.
    agrees: whether the error is within rounding.
  """

  path: str
  automatic: float
  central: float
  error: float
  agrees: bool


def check(loss: Callable[[Any], jax.Array], params: Any, *, seed: int = 0) -> list[Row]:
  """Checks d loss / d p along a random unit direction for every parameter p, in float64.

  Of three step sizes the one that agrees best counts: too large a step sees curvature and kinks of ReLU, too small a one
  rounding. A wrong gradient is wrong at all of them.
  """
  assert jax.config.read("jax_enable_x64"), "central differences need float64"
  params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
  loss = jax.jit(loss)
  gradient = rules.paths(jax.jit(jax.grad(loss))(params))
  leaves, structure = jax.tree.flatten(params)
  scale = abs(float(loss(params))) or 1.0
  rng = np.random.default_rng(seed)
  rows = []
  for index, (path, slope) in enumerate(gradient.items()):
    direction = rng.normal(size=leaves[index].shape)
    direction /= np.linalg.norm(direction)

    def at(distance, index=index, direction=direction):
      moved = [*leaves[:index], leaves[index] + distance * direction, *leaves[index + 1:]]
      return float(loss(jax.tree.unflatten(structure, moved)))

    automatic = float(jnp.sum(slope * direction))
    central = min(((at(h) - at(-h)) / (2 * h) for h in _STEPS), key=lambda c: abs(c - automatic))
    # Rounding of the loss itself, over the smallest step, is the floor under which nothing can be told.
    size = max(abs(automatic), abs(central), scale * 1e-9)
    error = abs(automatic - central) / size
    rows.append(Row(path, automatic, central, error, bool(error < _TOLERANCE)))
  return rows
