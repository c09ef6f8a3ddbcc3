"""The transducer's loss (Graves 2012, Sequence transduction with recurrent neural networks).

An alignment is a way through a lattice of T frames and M = N + 1 places in the text, N labels: from (t, m) a blank leads to
(t + 1, m), the label m + 1 to (t, m + 1); it ends with a blank from the last place of the last frame. B utterances, V outputs,
D and E sizes of vectors, C frames of a chunk, S = T + M − 1 steps: every alignment is at step t + m.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from research.nn.ctc import inside

_ZERO = -1e30  # the logarithm of nothing: finite, as the difference of two infinities is no number


class Lattice(NamedTuple):
  """ln of the probabilities of the blank and of the next label (B, T, M), and how many frames count (B,)."""

  blank: jax.Array
  label: jax.Array
  lengths: jax.Array


def lattice(scores: Callable[[jax.Array, jax.Array], jax.Array], encoded_BTD: jax.Array, lengths_B: jax.Array,
            predicted_BME: jax.Array, labels_BN: jax.Array, *, blank: int, chunk: int) -> Lattice:
  """What the lattice needs of a joint network. Its scores (B, T, M, V) are never held for more than a chunk of frames.

  Going back, each chunk's scores are computed again: memory is that of B·C·M·V numbers, and B·T·M for the lattice.

  Args:
    scores: (B, C, D) and (B, M, E) to scores (B, C, M, V).
    encoded_BTD: what is known of the frames.
    lengths_B: frames that count.
    predicted_BME: what is known of the text up to each place.
    labels_BN: 0..V-1 and not the blank; padded with anything in 0..V-1.
    blank: the output that leads to the next frame.
    chunk: C.
  """
  length = encoded_BTD.shape[1]
  chunk = min(chunk, length)
  after_BM = jnp.pad(labels_BN, ((0, 0), (0, 1)), constant_values=blank)  # behind the last label there is none
  encoded_BTD = jnp.pad(jnp.where(inside(length, lengths_B)[..., None], encoded_BTD, 0), ((0, 0), (0, -length % chunk), (0, 0)))
  pieces = jnp.moveaxis(encoded_BTD.reshape(len(labels_BN), -1, chunk, encoded_BTD.shape[-1]), 1, 0)

  @jax.checkpoint
  def of(encoded_BCD, predicted_BME):
    logits_BCMV = scores(encoded_BCD, predicted_BME).astype(jnp.float32)
    total_BCM = jax.nn.logsumexp(logits_BCMV, -1)
    label_BCM = jnp.take_along_axis(logits_BCMV, after_BM[:, None, :, None], -1)[..., 0]
    return logits_BCMV[..., blank] - total_BCM, label_BCM - total_BCM

  found = jax.lax.map(lambda piece: of(piece, predicted_BME), pieces)  # (chunks, B, C, M) each
  whole = lambda x: jnp.moveaxis(x, 0, 1).reshape(len(labels_BN), -1, x.shape[-1])[:, :length]
  return Lattice(*map(whole, found), lengths_B)


def transducer_loss(found: Lattice, label_lengths_B: jax.Array) -> jax.Array:
  """−ln of the sum over all alignments of their probability, (B,) float32, in nats; without frames it is infinite.

  In float32, and in O(B·T·M) memory with its gradient. What padding holds changes nothing.

  Args:
    found: the lattice.
    label_lengths_B: labels that count.
  """
  # Behind the last frame nothing is said, so that the last place is left by a blank from there alone.
  label_BTM = jnp.where(inside(found.label.shape[1], found.lengths)[..., None], found.label, _ZERO)
  steps_SBM = jax.tree.map(_by_step, (found.blank, label_BTM))

  def step(total_BM, at):
    blank_BM, label_BM = at
    moved_BM = jnp.pad((total_BM + label_BM)[:, :-1], ((0, 0), (1, 0)), constant_values=_ZERO)
    total_BM = jnp.maximum(jnp.logaddexp(total_BM + blank_BM, moved_BM), _ZERO)
    return total_BM, total_BM

  first_BM = jnp.broadcast_to(jnp.where(jnp.arange(found.blank.shape[2]) == 0, 0.0, _ZERO), found.blank.shape[::2])
  _, totals_SBM = jax.lax.scan(step, first_BM, steps_SBM)
  # Entry s is of the step after s: the last is a blank, after the one at which the last frame and the last place meet.
  rows = jnp.arange(len(label_lengths_B))
  total_B = totals_SBM[jnp.maximum(found.lengths + label_lengths_B - 1, 0), rows, label_lengths_B]
  return jnp.where(found.lengths > 0, -total_B, jnp.inf)


def _by_step(x_BTM: jax.Array) -> jax.Array:
  """(S, B, M): at step s and place m what is at frame s − m. One reshape moves all places."""
  num, length, places = x_BTM.shape
  moved = jnp.pad(x_BTM.swapaxes(1, 2), ((0, 0), (0, 0), (0, places)), constant_values=_ZERO).reshape(num, -1)
  return jnp.moveaxis(moved[:, :places * (length + places - 1)].reshape(num, places, -1), 2, 0)
