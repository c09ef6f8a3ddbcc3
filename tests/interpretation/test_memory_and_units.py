"""What memory is reckoned, and how inputs fall into units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.interpretation.memory import copies_within, peak_bytes
from research.interpretation.units import units_of


def test_peak_is_what_lives_at_once():
  x = jax.ShapeDtypeStruct((100,), "float32")
  peak = lambda f: peak_bytes(jax.make_jaxpr(f)(x).jaxpr)
  assert peak(lambda x: jnp.sin(jnp.sin(jnp.sin(x)))) == 800  # one is read, one is written
  assert peak(lambda x: (jnp.sin(x), jnp.cos(x), jnp.tan(x))) == 1200
  assert peak(lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), jnp.cos(c)), x, None, length=10)[1]) >= 4000 + 400


def test_as_many_copies_as_fit():
  x, f = jnp.ones((2, 100)), lambda x: jnp.sin(jnp.sin(x)).sum(-1)
  assert [copies_within(f, x, budget, 8) for budget in (1, 2500, 10_000, 10**9)] == [1, 1, 4, 8]


@pytest.mark.parametrize("shape, views, grid", [((2, 7, 10, 3), 1, (4, 4)), ((2, 9), 1, (9,)), ((2, 14, 10, 3), 2, (2, 4))])
def test_units_pool_spread_and_keep(shape, views, grid):
  units = units_of(shape, False, 4, views)
  assert views == 1 or shape[1] // views % units.cell[0] == 0  # no unit is in two views
  assert units.grid == grid
  x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
  places = units.places_of(x)
  pooled = units.pool(places)
  np.testing.assert_allclose(pooled.sum(1), x.reshape(2, -1).sum(1), rtol=1e-4)
  np.testing.assert_allclose(units.pool(units.spread(pooled)), pooled, rtol=1e-4, atol=1e-5)
  masks = np.ones((2, 2, units.num), np.float32)
  masks[1, :, 0] = 0
  kept = units.keep(x, jnp.float32(7), jnp.asarray(masks)).reshape(2, *shape)
  np.testing.assert_allclose(kept[0], x, rtol=1e-6, atol=1e-6)
  first = kept[1][(slice(None), *(slice(0, cell) for cell in units.cell))]
  np.testing.assert_allclose(first, 7, rtol=1e-6)
  assert int((np.abs(kept[1] - x) > 1e-5).sum()) == first.size
