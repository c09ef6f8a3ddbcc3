"""What classifiers are scored by beside the loss and the accuracy. B examples, C classes, K valid labels, M bins.

The first half runs in jit and gives rows (B, k) that add up; the second finishes the sums.
"""

import jax
import jax.numpy as jnp
import numpy as np

NUM_BINS = 15


def one_hot(labels: jax.Array, num_classes: int, dtype) -> jax.Array:
  """Labels (B,) as probabilities (B, C); probabilities as they are."""
  return labels.astype(dtype) if labels.ndim == 2 else jax.nn.one_hot(labels, num_classes, dtype=dtype)


def prediction(logits: jax.Array) -> jax.Array:
  """The class of the largest logit, (B,) int32; -1 where none is larger than all others: equal ones, or not a number."""
  at_top = jnp.sum(~(logits < jnp.max(logits, axis=-1, keepdims=True)), axis=-1)
  return jnp.where(at_top == 1, jnp.argmax(logits, axis=-1), -1).astype(jnp.int32)


def calibration_rows(confidence: jax.Array, right: jax.Array) -> jax.Array:
  """Rows (B, 3 M): by bin of confidence the count, the confidence and whether the prediction was right.

  Bin m holds confidences in ((m-1)/M, m/M] (Guo et al. 2017, equation 2).
  """
  bins = jnp.clip(jnp.ceil(confidence * NUM_BINS).astype(jnp.int32) - 1, 0, NUM_BINS - 1)
  here = jax.nn.one_hot(bins, NUM_BINS, dtype=confidence.dtype)
  return jnp.concatenate([here, here * confidence[:, None], here * right.astype(confidence.dtype)[:, None]], axis=1)


def valid_rows(logits: jax.Array, valid_labels: jax.Array) -> jax.Array:
  """Rows (B, 2) of (right, counts) where any of several labels is right (Beyer et al. 2020, ReaL).

  Args:
    logits: (B, C).
    valid_labels: (B, K) integers, padded with -1. An example without any is left out.
  """
  num_classes = logits.shape[1]
  places = jnp.where(valid_labels < 0, num_classes, valid_labels)
  valid = jax.vmap(lambda at: jnp.zeros(num_classes, bool).at[at].set(True, mode="drop"))(places)
  best = lambda where: jnp.max(logits, axis=1, where=where, initial=-jnp.inf)
  counts = valid.any(axis=1)
  # Not `>=`: as everywhere, a tie is no answer. What is not a number compares as false.
  right = counts & (best(valid) > best(~valid))
  return jnp.stack([right, counts], axis=1).astype(logits.dtype)


# --- finishing the sums ----------------------------------------------------------------------------------------------


def reliability(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Sums of `calibration_rows` to (M,) counts, mean confidences and accuracies; not a number in an empty bin."""
  count, confidence, right = np.reshape(sums, (3, NUM_BINS))
  known = np.where(count > 0, count, np.nan)
  return count, confidence / known, right / known


def calibration_error(sums: np.ndarray) -> float:
  """Expected calibration error (Guo et al. 2017, equation 3): mean distance of accuracy and confidence over the bins.

  It is biased upwards where bins hold few examples, and resampling adds to that: its bootstrap interval lies high.
  """
  count, confidence, right = np.reshape(sums, (3, NUM_BINS))
  return float(np.abs(right - confidence).sum() / count.sum()) if count.sum() else float("nan")
