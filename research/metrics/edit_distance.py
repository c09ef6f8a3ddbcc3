"""The edit distance (Levenshtein 1966) on the devices. B pairs, T and N places of the two sequences."""

import jax
import jax.numpy as jnp


def edit_distance(ours_BT: jax.Array, our_lengths_B: jax.Array, theirs_BN: jax.Array, their_lengths_B: jax.Array) -> jax.Array:
  """Fewest substitutions, deletions and insertions between two padded sequences of integers, (B,) int32."""
  places_M = jnp.arange(theirs_BN.shape[1] + 1)

  def step(distance_BM, at):
    index, token_B = at
    kept = jnp.pad(distance_BM[:, :-1] + (theirs_BN != token_B[:, None]), ((0, 0), (1, 0)), constant_values=2**30)
    new_BM = jnp.minimum(distance_BM + 1, kept)
    # What theirs has more costs one a place: the least over all places before, each with its way.
    new_BM = jax.lax.cummin(new_BM - places_M, axis=1) + places_M
    return jnp.where((index < our_lengths_B)[:, None], new_BM, distance_BM), None

  start_BM = jnp.broadcast_to(places_M, (len(theirs_BN), len(places_M)))
  distance_BM, _ = jax.lax.scan(step, start_BM, (jnp.arange(ours_BT.shape[1]), ours_BT.T))
  return jnp.take_along_axis(distance_BM, their_lengths_B[:, None], axis=1)[:, 0].astype(jnp.int32)
