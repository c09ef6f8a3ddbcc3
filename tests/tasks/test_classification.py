"""Losses, label protocols, test-time views and what they are scored by, each against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.config import ConfigError
from research.metrics import confusion
from research.metrics.classification import NUM_BINS, reliability
from research.tasks.classification import Classification

RNG = np.random.default_rng(0)
C = 5
EXTRA = ("nll", "brier", "calibration_error")


def rows(task, name, logits, batch, *, training=False):
  return np.asarray(task.statistics(jnp.asarray(logits), batch, training=training)[name], np.float64)


def value(task, name, logits, batch, **settings):
  return task.metrics[name].value(rows(task, name, logits, batch, **settings).sum(0))


@pytest.fixture
def drawn():
  """Logits, and labels drawn from their softmax: a calibrated classifier."""
  logits = 2 * RNG.normal(size=(4000, C))
  return logits, (logits + RNG.gumbel(size=logits.shape)).argmax(1)


def probabilities(logits):
  p = np.exp(logits - logits.max(1, keepdims=True))
  return p / p.sum(1, keepdims=True)


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_labels_is_the_mixture_of_their_losses(loss, smoothing):
  task = Classification(num_classes=C, loss=loss, label_smoothing=smoothing)
  logits, a, b, share = RNG.normal(size=(7, C)), RNG.integers(0, C, 7), RNG.integers(0, C, 7), RNG.random(7)
  mixed = rows(task, "loss", logits, {"labels": a, "mixed_labels": b, "mixed_share": share}, training=True)[:, 0]
  one, other = (rows(task, "loss", logits, {"labels": y}, training=True)[:, 0] for y in (a, b))
  np.testing.assert_allclose(mixed, (1 - share) * one + share * other, rtol=1e-5)


def test_mixing_leaves_accuracy_and_likelihood_to_the_label_itself(drawn):
  logits, labels = drawn
  task = Classification(num_classes=C, label_smoothing=0.2, extra_metrics=EXTRA)
  batch = {"labels": labels, "mixed_labels": labels[::-1].copy(), "mixed_share": np.full(len(labels), 0.4)}
  for name in ("accuracy", *EXTRA):
    assert value(task, name, logits, batch, training=True) == value(task, name, logits, {"labels": labels})
  assert value(task, "loss", logits, batch, training=True) > value(task, "loss", logits, {"labels": labels})


def test_sigmoids_are_one_binary_cross_entropy_a_class():
  task, logits, labels = Classification(num_classes=C, loss="sigmoid"), RNG.normal(size=(6, C)), RNG.integers(0, C, 6)
  wanted = np.eye(C)[labels]
  theirs = optax.sigmoid_binary_cross_entropy(jnp.asarray(logits), wanted).sum(1)
  np.testing.assert_allclose(rows(task, "loss", logits, {"labels": labels})[:, 0], theirs, rtol=1e-6)
  gradient = jax.grad(lambda z: task.statistics(z, {"labels": labels})["loss"][:, 0].sum())(jnp.asarray(logits))
  np.testing.assert_allclose(gradient, 1 / (1 + np.exp(-logits)) - wanted, atol=1e-6)


def test_large_logits_give_finite_losses_and_gradients():
  logits, labels = jnp.asarray([[200.0, -200, 0], [-200, 200, 0]]), jnp.array([0, 0])
  for loss in ("softmax", "sigmoid"):
    task = Classification(num_classes=3, loss=loss)
    total = lambda z, task=task: task.statistics(z, {"labels": labels})["loss"][:, 0].sum()
    assert total(logits) == pytest.approx(400 if loss == "softmax" else 400 + 2 * np.log(2), rel=1e-6)
    assert np.isfinite(jax.grad(total)(logits)).all()


# --- calibration, likelihood, Brier score ----------------------------------------------------------------------------


def test_likelihood_is_the_loss_where_nothing_is_smoothed(drawn):
  logits, labels = drawn
  task = Classification(num_classes=C, extra_metrics=("nll",))
  assert value(task, "nll", logits, {"labels": labels}) == value(task, "loss", logits, {"labels": labels})


def test_brier_score_of_ignorance_and_of_certainty():
  task, labels = Classification(num_classes=C, extra_metrics=("brier",)), np.arange(C)
  assert value(task, "brier", np.zeros((C, C)), {"labels": labels}) == pytest.approx(1 - 1 / C)
  assert value(task, "brier", 100 * np.eye(C), {"labels": labels}) == pytest.approx(0, abs=1e-6)
  assert value(task, "brier", 100 * np.eye(C)[::-1], {"labels": np.zeros(C, int)}) == pytest.approx(2 * (C - 1) / C)


def test_calibration_error_is_its_definition(drawn):
  logits, labels = drawn
  task = Classification(num_classes=C, extra_metrics=("calibration_error",))
  p = probabilities(logits)
  confidence, right = p.max(1), p.argmax(1) == labels
  expected = 0.0
  for m in range(NUM_BINS):
    inside = (confidence > m / NUM_BINS) & (confidence <= (m + 1) / NUM_BINS)
    if inside.any():
      expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
  assert value(task, "calibration_error", logits, {"labels": labels}) == pytest.approx(expected, abs=1e-6)


def test_a_calibrated_classifier_is_found_so_and_one_too_sure_not(drawn):
  logits, labels = drawn
  task = Classification(num_classes=C, extra_metrics=("calibration_error",))
  error = lambda scale: value(task, "calibration_error", scale * logits, {"labels": labels})
  assert error(1) < 0.03 < 0.1 < error(3)
  count, confidence, accuracy = reliability(rows(task, "calibration_error", 3 * logits, {"labels": labels}).sum(0))
  assert count.sum() == len(labels)
  assert (confidence > accuracy)[count > 100].all()


def test_parts_add_up_to_the_whole_and_masked_examples_are_nothing(drawn):
  logits, labels = drawn
  task = Classification(num_classes=C, extra_metrics=EXTRA)
  for name in EXTRA:
    whole, masked = rows(task, name, logits, {"labels": labels}), np.arange(len(labels)) % 3 > 0
    parts = sum(rows(task, name, logits[part], {"labels": labels[part]}).sum(0) for part in (slice(0, 999), slice(999, None)))
    np.testing.assert_allclose(parts, whole.sum(0), rtol=1e-9)
    assert task.metrics[name].value(masked @ whole) == pytest.approx(
        value(task, name, logits[masked], {"labels": labels[masked]}), rel=1e-6)


def test_nothing_evaluated_is_not_a_number():
  task = Classification(num_classes=C, extra_metrics=EXTRA)
  assert all(np.isnan(task.metrics[name].value(np.zeros(45))) for name in EXTRA)


# --- several labels, other outputs -----------------------------------------------------------------------------------


def test_real_accuracy_takes_any_valid_label_and_leaves_out_what_has_none():
  task = Classification(num_classes=4, extra_metrics=("real_accuracy",))
  logits = np.array([[3.0, 2, 1, 0]] * 5)
  valid = np.array([[0, -1, -1], [2, 0, -1], [1, 2, 3], [-1, -1, -1], [0, 1, 2]])
  found = rows(task, "real_accuracy", logits, {"labels": np.zeros(5, int), "valid_labels": valid})
  np.testing.assert_array_equal(found, [[1, 1], [1, 1], [0, 1], [0, 0], [1, 1]])
  assert value(task, "real_accuracy", logits, {"labels": np.zeros(5, int), "valid_labels": valid}) == 3 / 4


def test_one_valid_label_is_the_plain_accuracy_ties_included(drawn):
  logits, labels = drawn
  logits = np.round(logits[:300])  # many ties
  task = Classification(num_classes=C, extra_metrics=("real_accuracy",))
  batch = {"labels": labels[:300], "valid_labels": np.stack([labels[:300], np.full(300, -1)], 1)}
  np.testing.assert_array_equal(rows(task, "real_accuracy", logits, batch), rows(task, "accuracy", logits, batch))
  assert value(task, "real_accuracy", np.full((300, C), np.nan), batch) == 0


def test_outputs_before_the_first_class_are_not_there():
  task, plain = Classification(num_classes=C, first_class=1), Classification(num_classes=C)
  outputs, labels = RNG.normal(size=(9, C + 1)), RNG.integers(0, C, 9)
  outputs[:, 0] = 100  # a background that wins everywhere
  model = lambda x, key: jnp.asarray(outputs)
  logits = task.forward(model, {"inputs": jnp.zeros((9, 2))}, None)
  assert task.num_outputs == C + 1
  for name in task.metrics:
    assert value(task, name, logits, {"labels": labels}) == value(plain, name, outputs[:, 1:], {"labels": labels})
  np.testing.assert_allclose(task.scores(logits, labels), outputs[np.arange(9), labels + 1], rtol=1e-6)


# --- views -----------------------------------------------------------------------------------------------------------


class Network:
  """Linear in the pixels, with a nonlinearity so that averages differ."""

  def __init__(self):
    self.kernel = jnp.asarray(RNG.normal(size=(4 * 4 * 3, C)), jnp.float32)

  def __call__(self, x, *, key=None):
    assert x.ndim == 4
    return jnp.tanh(x.reshape(len(x), -1) @ self.kernel) * 3


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mean", ["probability", "logit"])
def test_a_view_seen_ten_times_is_that_view(loss, mean):
  model, images, labels = Network(), RNG.normal(size=(6, 4, 4, 3)).astype(np.float32), RNG.integers(0, C, 6)
  task = Classification(num_classes=C, loss=loss, view_mean=mean, extra_metrics=EXTRA)
  plain = Classification(num_classes=C, loss=loss, extra_metrics=EXTRA)
  views = task.forward(model, {"inputs": np.repeat(images[:, None], 10, 1)}, None)
  alone = plain.forward(model, {"inputs": images}, None)
  for name in task.metrics:
    np.testing.assert_allclose(rows(task, name, views, {"labels": labels}), rows(plain, name, alone, {"labels": labels}),
                               rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_views_are_averaged_within_their_example(loss):
  model, images = Network(), RNG.normal(size=(3, 4, 4, 4, 3)).astype(np.float32)
  every = np.asarray(model(images.reshape(12, 4, 4, 3)), np.float64).reshape(3, 4, C)
  p = lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True) if loss == "softmax" else 1 / (1 + np.exp(-z))
  task = lambda mean: Classification(num_classes=C, loss=loss, view_mean=mean)
  of = lambda mean: np.asarray(task(mean).forward(model, {"inputs": images}, None))
  np.testing.assert_allclose(p(of("probability")), p(every).mean(1), rtol=1e-5)
  np.testing.assert_allclose(of("logit"), every.mean(1), rtol=1e-4, atol=1e-6)


def test_inputs_without_views_are_refused_in_evaluation_and_taken_in_training():
  task, images = Classification(num_classes=C, view_mean="probability"), RNG.normal(size=(6, 4, 4, 3))
  with pytest.raises(ConfigError, match="view_mean"):
    task.forward(Network(), {"inputs": images}, None)
  assert task.forward(Network(), {"inputs": images}, jax.random.key(0)).shape == (6, C)
  one = task.network_inputs({"inputs": jax.ShapeDtypeStruct((2, 10, 4, 4, 3), np.uint8)})
  assert one.shape == (2, 4, 4, 3)
  assert task.network_inputs({"inputs": one}) == one


def test_signatures_say_what_differs():
  plain = Classification(num_classes=C, top=(1, 5))
  assert [m.signature for m in plain.metrics.values()] == ["nats", "top1", "top5"]
  task = Classification(num_classes=1000, first_class=1, protocol="10-crop", view_mean="probability")
  assert task.metrics["accuracy"].signature == "top1|10-crop|mean:probability|classes are outputs 1 to 1000"
  sigmoid = Classification(num_classes=C, loss="sigmoid", extra_metrics=EXTRA)
  others = {name: m.signature for name, m in Classification(num_classes=C, extra_metrics=EXTRA).metrics.items()}
  assert {name for name, m in sigmoid.metrics.items() if m.signature == others[name]} == {"accuracy"}


# --- records ---------------------------------------------------------------------------------------------------------


def test_the_confusion_matrix_agrees_with_the_accuracy_ties_included(drawn):
  logits, labels = np.round(drawn[0]), drawn[1]
  logits[:3] = np.nan
  task = Classification(num_classes=C)
  records = {name: np.asarray(x) for name, x in task.records(jnp.asarray(logits), {"labels": labels}).items()}
  matrix = confusion.confusion_matrix(records["label"], records["prediction"], C)
  assert np.trace(matrix) == rows(task, "accuracy", logits, {"labels": labels})[:, 0].sum()
  assert matrix.sum() == len(labels)
  assert matrix[:, -1].sum() > 3
  np.testing.assert_array_equal(records["loss"], task.statistics(jnp.asarray(logits), {"labels": labels})["loss"][:, 0])
  np.testing.assert_allclose(records["confidence"][3:], probabilities(logits[3:]).max(1), rtol=1e-5)


def test_balanced_accuracy_of_records(drawn):
  from sklearn.metrics import balanced_accuracy_score

  logits, labels = drawn
  task = Classification(num_classes=C + 1, extra_metrics=("balanced_accuracy",))  # one class never occurs
  assert "balanced_accuracy" not in task.metrics  # no sums: nothing for a training window
  logits = np.concatenate([logits, np.full((len(logits), 1), -50.0)], 1)
  records = {name: np.asarray(x) for name, x in task.records(jnp.asarray(logits), {"labels": labels}).items()}
  metric = task.record_metrics["balanced_accuracy"]
  expected = balanced_accuracy_score(labels, logits.argmax(1))
  assert metric.value(records, np.ones(len(labels))) == pytest.approx(expected, rel=1e-12)
  weights = RNG.integers(0, 3, len(labels))
  assert metric.value(records, weights) == pytest.approx(
      balanced_accuracy_score(labels, logits.argmax(1), sample_weight=weights), rel=1e-12)


@pytest.mark.parametrize("settings", [{"first_class": -1}])
def test_impossible_settings_are_refused(settings):
  with pytest.raises(ConfigError):
    Classification(num_classes=4, **settings)


# --- texts -----------------------------------------------------------------------------------------------------------


def test_the_network_of_texts_is_told_where_there_is_padding():
  task, tokens = Classification(num_classes=2), jnp.arange(8).reshape(2, 4)

  def model(x, mask, *, key):
    assert key is None
    np.testing.assert_array_equal(mask, [[True, True, True, True], [True, False, False, False]])
    return jnp.stack([(x * mask).sum(1), -(x * mask).sum(1)], 1)

  logits = task.forward(model, {"inputs": tokens, "inputs_length": jnp.array([4, 1])}, None)
  np.testing.assert_array_equal(logits, [[6, -6], [4, -4]])
  assert task.network_inputs({"inputs": tokens, "inputs_length": None}) is tokens
