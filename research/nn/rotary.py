"""Rotary positions (Su et al. 2021): queries and keys are turned, so that their product depends on their distance.

Shapes: B examples, T positions, H heads, K size of a head.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from research.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotary:
  """Turns pair i of a head's K numbers, number i and number i + K/2, by position · base^(−2i/K).

  Attributes:
    base: of the frequencies.
    linear: positions are divided by this (Chen et al. 2023); 1 for none.
    stretch: Llama 3's way to longer texts: frequencies whose wavelength is above original_length / low are divided by this,
      those below original_length / high stay, and those between are interpolated; 1 for none.
    low: see `stretch`.
    high: see `stretch`.
    original_length: see `stretch`.
  """

  base: float = 10_000.0
  linear: float = 1.0
  stretch: float = 1.0
  low: float = 1.0
  high: float = 4.0
  original_length: int = 8192

  def __post_init__(self):
    for name in ("base", "linear", "stretch"):
      if getattr(self, name) <= 0:
        raise ConfigError(f"{name}={getattr(self, name)}: must be above 0")
    if not 0 < self.low < self.high:
      raise ConfigError(f"low={self.low}, high={self.high}: must be above 0, and low below high")

  def frequencies(self, head_dim: int) -> jax.Array:
    """(K/2,) in float32, radians a position."""
    assert head_dim % 2 == 0, head_dim
    frequencies = 1 / (self.linear * self.base ** (jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim))
    if self.stretch == 1:
      return frequencies
    turns = self.original_length * frequencies / (2 * math.pi)  # over the length of the first training
    kept = jnp.clip((turns - self.low) / (self.high - self.low), 0, 1)
    return frequencies * (kept + (1 - kept) / self.stretch)

  def __call__(self, x_BHTK: jax.Array, positions: jax.Array | None = None) -> jax.Array:
    """Turns x at `positions`, (T,) or (B, T) integers; None for 0, 1, ... Returns the shape and type of x."""
    positions = jnp.arange(x_BHTK.shape[2]) if positions is None else positions
    angles = positions[..., None].astype(jnp.float32) * self.frequencies(x_BHTK.shape[-1])
    angles = angles[:, None] if angles.ndim == 3 else angles
    wide = x_BHTK.astype(jnp.promote_types(x_BHTK.dtype, jnp.float32))
    first, second = jnp.split(wide, 2, -1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1).astype(x_BHTK.dtype)
