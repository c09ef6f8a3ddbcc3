"""Connectionist temporal classification (Graves et al. 2006 ICML): the loss, and the labels of the best path.

B utterances, T frames, V outputs with the blank among them, N labels, M = N + 1. A path through the frames alternates
between M blanks and N labels, blank n standing before label n. Its states are kept as two arrays (B, M) of logarithms, one of
blanks and one of labels, whose last entry is never entered.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

_ZERO = -1e30  # the logarithm of nothing: finite, as the difference of two infinities is no number
_IMPOSSIBLE = 1e29


class Frames(NamedTuple):
  """What a network gives for utterances: scores (B, T, V) of the outputs, and how many frames of each count (B,)."""

  logits: jax.Array
  lengths: jax.Array


def inside(num: int, lengths_B: jax.Array) -> jax.Array:
  """Which of so many frames count, (B, num)."""
  return jnp.arange(num) < lengths_B[:, None]


def ctc_loss(logits_BTV: jax.Array, lengths_B: jax.Array, labels_BN: jax.Array, label_lengths_B: jax.Array, *,
             blank: int = 0) -> jax.Array:
  """−ln of the sum over all alignments of the labels with the frames of their probability, (B,) float32, in nats.

  Computed and differentiated in float32 whatever the logits are, the derivative being Graves' equation 16. Labels that do not
  fit into their frames (see `fits`), or whose logit is −inf, have the loss inf and no gradient. No labels in no frames have
  the loss 0.

  Args:
    logits_BTV: any real numbers.
    lengths_B: frames that count; what the later ones hold changes nothing and has no gradient.
    labels_BN: 0..V-1 and not the blank; padded with anything in 0..V-1.
    label_lengths_B: labels that count.
    blank: the output that stands for none.
  """
  return _loss(logits_BTV.astype(jnp.float32), lengths_B, labels_BN, label_lengths_B, blank)


def fits(lengths_B: jax.Array, labels_BN: jax.Array, label_lengths_B: jax.Array) -> jax.Array:
  """Whether there are frames enough, (B,) bool: one for each label and one between any two equal ones."""
  repeated = (labels_BN[:, 1:] == labels_BN[:, :-1]) & (jnp.arange(1, labels_BN.shape[1]) < label_lengths_B[:, None])
  return lengths_B >= label_lengths_B + repeated.sum(1)


def begins(path_BT: jax.Array, lengths_B: jax.Array, *, blank: int = 0) -> jax.Array:
  """Where on a path a label begins, (B, T) bool: neither the blank nor what was said in the frame before."""
  previous_BT = jnp.pad(path_BT[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
  return (path_BT != blank) & (path_BT != previous_BT) & inside(path_BT.shape[1], lengths_B)


def best_labels(logits_BTV: jax.Array, lengths_B: jax.Array, *, blank: int = 0) -> tuple[jax.Array, jax.Array]:
  """The labels of the most probable path ("greedy"): repetitions joined, then blanks left out.

  Returns:
    labels (B, T) int32, padded with the blank, and how many there are (B,) int32.
  """
  best_BT = jnp.argmax(logits_BTV, axis=-1).astype(jnp.int32)
  counts = begins(best_BT, lengths_B, blank=blank)
  places = jnp.where(counts, jnp.cumsum(counts, axis=1) - 1, best_BT.shape[1])
  rows = jnp.arange(best_BT.shape[0])[:, None]
  return jnp.full_like(best_BT, blank).at[rows, places].set(best_BT, mode="drop"), counts.sum(1).astype(jnp.int32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _loss(logits_BTV, lengths_B, labels_BN, label_lengths_B, blank):
  return _forward(logits_BTV, lengths_B, labels_BN, label_lengths_B, blank)[0]


def _forward(logits_BTV, lengths_B, labels_BN, label_lengths_B, blank):
  log_probs_BTV = jax.nn.log_softmax(logits_BTV)
  differs_BM = jnp.pad(labels_BN[:, 1:] != labels_BN[:, :-1], ((0, 0), (1, 1)))[:, -labels_BN.shape[1] - 1:]

  def step(carry, emission):
    blank_BM, label_BM, scale_B = carry
    blank_B, label_emission_BM = emission
    to_blank_BM, from_blank_BM = _add(blank_BM, _after(label_BM))
    to_label_BM, from_label_BM = _add(label_BM, jnp.where(differs_BM, to_blank_BM, blank_BM))
    blank_BM, label_BM = to_blank_BM + blank_B[:, None], to_label_BM + label_emission_BM
    # The largest is kept at 0, where float32 is finest.
    largest_B = jnp.maximum(blank_BM.max(1), label_BM.max(1))
    carry = blank_BM - largest_B[:, None], label_BM - largest_B[:, None], scale_B + largest_B
    return carry, (from_blank_BM, from_label_BM)

  first_BM = jnp.broadcast_to(jnp.where(jnp.arange(differs_BM.shape[1]) == 0, 0, _ZERO), differs_BM.shape)
  start = first_BM, jnp.full(differs_BM.shape, _ZERO), jnp.zeros(len(labels_BN))
  emissions = _emissions(log_probs_BTV, lengths_B, labels_BN, label_lengths_B, blank)
  (blank_BM, label_BM, scale_B), shares_TBM = jax.lax.scan(step, start, emissions)
  end_BM, from_blank_BM = _add(blank_BM, _after(label_BM))
  total_B = scale_B + jnp.take_along_axis(end_BM, label_lengths_B[:, None], axis=1)[:, 0]
  possible_B = total_B > -_IMPOSSIBLE
  counts_BT = inside(logits_BTV.shape[1], lengths_B) & possible_B[:, None]
  saved = log_probs_BTV, counts_BT, labels_BN, label_lengths_B, differs_BM, shares_TBM, from_blank_BM
  return jnp.where(possible_B, -total_B, jnp.inf), saved


def _backward(blank, saved, cotangent_B):
  """How probable each state is given the labels, from the last frame to the first: every state's share goes on to those that
  it came from, in the shares in which they made it up. No logarithms are needed for that, as the shares of a frame add up to 1.
  """
  log_probs_BTV, counts_BT, labels_BN, label_lengths_B, differs_BM, shares_TBM, from_blank_BM = saved

  def step(state, shares):
    blank_BM, label_BM = state
    from_blank_BM, from_label_BM = shares
    moved_BM = label_BM * (1 - from_label_BM)
    to_blank_BM = blank_BM + jnp.where(differs_BM, moved_BM, 0)
    before_BM = label_BM * from_label_BM + _before(to_blank_BM * (1 - from_blank_BM))
    return (to_blank_BM * from_blank_BM + jnp.where(differs_BM, 0, moved_BM), before_BM), state

  end_BM = (jnp.arange(differs_BM.shape[1]) == label_lengths_B[:, None]).astype(jnp.float32)
  end = end_BM * from_blank_BM, _before(end_BM * (1 - from_blank_BM))
  _, (blank_TBM, label_TBM) = jax.lax.scan(step, end, shares_TBM, reverse=True)
  one_hot_BNV = jax.nn.one_hot(labels_BN, log_probs_BTV.shape[-1], dtype=jnp.float32)
  found_BTV = jnp.einsum("tbn,bnv->btv", label_TBM[..., :-1], one_hot_BNV, precision="highest")
  found_BTV = found_BTV.at[..., blank].add(blank_TBM.sum(-1).T)
  gradient_BTV = (jnp.exp(log_probs_BTV) - found_BTV) * cotangent_B[:, None, None]
  return jnp.where(counts_BT[..., None], gradient_BTV, 0), None, None, None


_loss.defvjp(_forward, _backward)


def _emissions(log_probs_BTV, lengths_B, labels_BN, label_lengths_B, blank):
  """Logarithms (T, B) of the blank and (T, B, M) of the labels. A frame that does not count is certainly blank."""
  inside_BT1 = inside(log_probs_BTV.shape[1], lengths_B)[..., None]
  here_BTN = jnp.take_along_axis(log_probs_BTV, labels_BN[:, None, :], axis=2)
  here_BTN = jnp.where(inside_BT1 & inside(labels_BN.shape[1], label_lengths_B)[:, None], here_BTN, _ZERO)
  blank_BT = jnp.where(inside_BT1[..., 0], log_probs_BTV[..., blank], 0)
  label_TBM = jnp.pad(jnp.swapaxes(here_BTN, 0, 1), ((0, 0), (0, 0), (0, 1)), constant_values=_ZERO)
  return jnp.maximum(blank_BT.T, _ZERO), jnp.maximum(label_TBM, _ZERO)


def _after(label_BM):
  """Beside every blank the label before it."""
  return jnp.pad(label_BM[:, :-1], ((0, 0), (1, 0)), constant_values=_ZERO)


def _before(blank_BM):
  """What goes from every blank to the label before it."""
  return jnp.pad(blank_BM[:, 1:], ((0, 0), (0, 1)))


def _add(a, b):
  """ln(e^a + e^b), and the share of a in the sum."""
  smaller = jnp.exp(-jnp.abs(a - b))
  share = 1 / (1 + smaller)
  return jnp.maximum(a, b) + jnp.log(1 + smaller), jnp.where(a >= b, share, smaller * share)
