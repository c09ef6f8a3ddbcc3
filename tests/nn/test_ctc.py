"""The CTC loss is minus the logarithm of a sum over alignments, which can be enumerated, also where float32 has it hard."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.nn.ctc import best_labels, ctc_loss, fits

# Utterances of 5 frames and 4 outputs: repetitions, all frames needed, one label, none, padding.
LABELS = np.array([[1, 1, 2], [3, 2, 1], [2, 0, 0], [0, 0, 0], [1, 1, 0]])
LABEL_LENGTHS = np.array([3, 3, 1, 0, 2])
LENGTHS = np.array([5, 3, 4, 2, 5])
LOGITS = np.random.default_rng(0).normal(size=(5, 5, 4)).astype(np.float32)

loss_of = jax.jit(ctc_loss)


@jax.jit
def both_of(logits, *rest):
  """Losses (B,) and the gradient of their sum."""
  values, backward = jax.vjp(lambda logits: ctc_loss(logits, *rest), logits)
  return values, backward(jnp.ones_like(values))[0]


def log_probabilities(logits):
  logits = np.asarray(logits, np.float64)
  return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def collapsed(path, blank=0):
  return [label for label, _ in itertools.groupby(path) if label != blank]


def enumerated(logits, labels, blank=0) -> float:
  """The loss by its definition: every path through the frames whose labels are these."""
  log_probs = log_probabilities(logits)
  total = -np.inf
  for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
    if collapsed(path, blank) == list(labels):
      total = np.logaddexp(total, sum(log_probs[t, label] for t, label in enumerate(path)))
  return -total


def exact(logits, labels):
  """Loss and gradient in float64 by the forward and backward variables of Graves et al., states interleaved."""
  log_probs, states = log_probabilities(logits), [0, *itertools.chain(*((label, 0) for label in labels))]
  num, size = len(logits), len(states)

  def forward(log_probs, states):
    labels = np.array(states)
    skips = np.zeros(size, bool)
    skips[2:] = (labels[2:] != 0) & (labels[2:] != labels[:-2])
    table = np.full((num, size), -np.inf)
    table[0, :2] = log_probs[0, labels[:2]]
    for t in range(1, num):
      one, two = (np.concatenate([np.full(k, -np.inf), table[t - 1, :-k]])[:size] for k in (1, 2))
      table[t] = np.logaddexp.reduce([table[t - 1], one, np.where(skips, two, -np.inf)]) + log_probs[t, labels]
    return table

  with np.errstate(invalid="ignore"):
    there, back = forward(log_probs, states), forward(log_probs[::-1], states[::-1])[::-1, ::-1]
    total = np.logaddexp(there[-1, -1], there[-1, -2] if size > 1 else -np.inf)
    shares = np.exp(there + back - log_probs[:, states] - total)
  gradient = np.exp(log_probs)
  for s, label in enumerate(states):
    gradient[:, label] -= shares[:, s]
  return -total, gradient


def test_the_loss_is_the_sum_over_all_alignments():
  values = loss_of(LOGITS, LENGTHS, LABELS, LABEL_LENGTHS)
  expected = [enumerated(LOGITS[b, :LENGTHS[b]], LABELS[b, :LABEL_LENGTHS[b]]) for b in range(5)]
  np.testing.assert_allclose(values, expected, rtol=1e-6)
  assert enumerated(LOGITS[0], [1, 2]) == pytest.approx(5.029121, abs=1e-6)  # in 4^5 paths
  assert float(loss_of(LOGITS, LENGTHS, LABELS[:, 1:], np.full(5, 2))[0]) == pytest.approx(5.029121, abs=1e-4)


def test_the_blank_may_be_any_output():
  last = np.roll(LOGITS, -1, axis=-1)  # output 0 becomes 3
  values = jax.jit(lambda *args: ctc_loss(*args, blank=3))(last, LENGTHS, (LABELS - 1) % 4, LABEL_LENGTHS)
  np.testing.assert_allclose(values, loss_of(LOGITS, LENGTHS, LABELS, LABEL_LENGTHS), rtol=1e-6)


def test_the_gradient_is_the_definitions_and_padding_has_none():
  gradient = np.asarray(both_of(LOGITS, LENGTHS, LABELS, LABEL_LENGTHS)[1])
  for b, length in enumerate(LENGTHS):
    np.testing.assert_allclose(gradient[b, :length], exact(LOGITS[b, :length], LABELS[b, :LABEL_LENGTHS[b]])[1], atol=1e-6)
    assert not gradient[b, length:].any()
  step, direction = 1e-5, np.random.default_rng(1).normal(size=(5, 4))
  moved = [enumerated(LOGITS[0] + sign * step * direction, LABELS[0]) for sign in (1, -1)]
  assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(float(np.sum(gradient[0] * direction)), rel=1e-5)


def test_padding_changes_nothing_whatever_it_holds():
  logits = np.pad(LOGITS, ((0, 0), (0, 3), (0, 0)), constant_values=np.nan)
  for b, length in enumerate(LENGTHS):
    logits[b, length:] = np.nan
  labels = np.pad(np.where(np.arange(3) < LABEL_LENGTHS[:, None], LABELS, 3), ((0, 0), (0, 2)), constant_values=2)
  values, gradient = both_of(logits, LENGTHS, labels, LABEL_LENGTHS)
  expected, expected_gradient = both_of(LOGITS, LENGTHS, LABELS, LABEL_LENGTHS)
  np.testing.assert_allclose(values, expected, rtol=1e-6)
  np.testing.assert_allclose(gradient[:, :5], expected_gradient, atol=1e-6)


def test_what_does_not_fit_is_infinite_and_leaves_no_gradient():
  lengths, label_lengths = np.array([3, 3, 0, 0, 2]), np.array([3, 3, 1, 0, 2])
  np.testing.assert_array_equal(fits(lengths, LABELS, label_lengths), [False, True, False, True, False])
  values, gradient = map(np.asarray, both_of(LOGITS, lengths, LABELS, label_lengths))
  np.testing.assert_array_equal(np.isinf(values), [True, False, True, False, True])
  assert values[3] == 0
  assert np.isfinite(gradient).all() and not gradient[[0, 2, 3, 4]].any() and gradient[1].any()
  forbidden = LOGITS.copy()
  forbidden[:, :, 2] = -np.inf
  values, gradient = both_of(forbidden, LENGTHS, LABELS, LABEL_LENGTHS)
  np.testing.assert_array_equal(np.isinf(values), [True, True, True, False, False])
  assert np.isfinite(gradient).all() and not np.asarray(gradient)[:3].any()


def test_no_labels_at_all():
  none = np.zeros((5, 0), np.int32)
  values = loss_of(LOGITS, LENGTHS, none, np.zeros(5, np.int32))
  np.testing.assert_allclose(values, [enumerated(LOGITS[b, :LENGTHS[b]], []) for b in range(5)], rtol=1e-6)


def long_case():
  """Two minutes at 25 frames a second, few labels far apart, outputs so sure that other paths all but vanish."""
  rng = np.random.default_rng(2)
  num, labels = 3000, np.repeat(rng.integers(1, 6, 60), rng.integers(1, 3, 60))
  logits = 0.5 * rng.normal(size=(num, 6))
  logits[:, 0] += 4
  at = np.sort(rng.choice(num // 2, len(labels), replace=False)) * 2
  logits[at, labels] += 12
  logits[40:, 0] += 30  # nearly every label has a probability of about e^-20
  return logits.astype(np.float32), labels


def test_long_sequences_are_as_exact_as_float32_can_be():
  logits, labels = long_case()
  value, gradient = exact(logits, labels)
  found, found_gradient = both_of(logits[None], np.array([len(logits)]), labels[None], np.array([len(labels)]))
  assert value > 1000 and float(found[0]) == pytest.approx(value, rel=2e-5)
  np.testing.assert_allclose(found_gradient[0], gradient, atol=2e-4)  # optax's: 1.4e-2


def test_loss_and_gradient_are_optaxs():
  rng = np.random.default_rng(3)
  logits, labels = rng.normal(size=(4, 40, 9)).astype(np.float32), rng.integers(1, 9, (4, 12))
  lengths, label_lengths = np.array([40, 31, 25, 40]), np.array([12, 9, 12, 1])
  padding = lambda num, lengths: (np.arange(num) >= lengths[:, None]).astype(np.float32)
  theirs = lambda x: (lambda each: (each.sum(), each))(
      optax.ctc_loss(x, padding(40, lengths), labels, padding(12, label_lengths)))
  (_, values), gradient = jax.jit(jax.value_and_grad(theirs, has_aux=True))(logits)
  found, found_gradient = both_of(logits, lengths, labels, label_lengths)
  np.testing.assert_allclose(found, values, rtol=1e-5)
  np.testing.assert_allclose(found_gradient, gradient, atol=2e-5)


def test_the_best_path_is_collapsed():
  paths = np.array([[0, 1, 1, 0, 1, 2, 2, 0], [3, 3, 3, 0, 0, 3, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], [1, 2, 1, 2, 1, 2, 1, 2]])
  lengths = np.array([8, 6, 8, 0])
  labels, counts = jax.jit(best_labels)(np.eye(4)[paths], lengths)
  for b, length in enumerate(lengths):
    expected = collapsed(paths[b, :length])
    assert labels[b, :counts[b]].tolist() == expected and counts[b] == len(expected) and not labels[b, counts[b]:].any()
