"""Probes against scikit-learn's, and what they must not depend on."""

import numpy as np
import pytest

from research.evaluation import probes

CLASSES = 5


@pytest.fixture(scope="module")
def clusters():
  """Five overlapping classes, of unequal sizes, in 12 dimensions of unequal scale: train, validation, test."""
  rng = np.random.default_rng(0)
  labels = rng.choice(CLASSES, 900, p=[0.4, 0.3, 0.15, 0.1, 0.05])
  centres = rng.normal(size=(CLASSES, 12))
  features = ((centres[labels] + 1.2 * rng.normal(size=(900, 12))) * np.logspace(-1, 1, 12) + 3).astype(np.float32)
  return [(features[part], labels[part]) for part in (slice(0, 400), slice(400, 600), slice(600, 900))]


@pytest.mark.parametrize("k", [1, 7, 20])
def test_a_plain_vote_is_that_of_scikit_learn(clusters, k):
  from sklearn.neighbors import KNeighborsClassifier

  (x, y), _, (z, _) = clusters
  theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(x, y).predict(z)
  ours = probes.nearest_neighbours(x, y, z, num_classes=CLASSES, k=k, temperature=None)
  np.testing.assert_array_equal(ours, theirs)


def test_a_weighted_vote_is_that_of_scikit_learn(clusters):
  from sklearn.neighbors import KNeighborsClassifier

  (x, y), _, (z, _) = clusters
  weights = lambda distances: np.exp((1 - distances) / 0.07)
  theirs = KNeighborsClassifier(20, metric="cosine", algorithm="brute", weights=weights).fit(x, y).predict(z)
  np.testing.assert_array_equal(probes.nearest_neighbours(x, y, z, num_classes=CLASSES), theirs)


def test_a_small_temperature_leaves_the_nearest_one(clusters):
  (x, y), _, (z, _) = clusters
  nearest = probes.nearest_neighbours(x, y, z, num_classes=CLASSES, k=1)
  np.testing.assert_array_equal(probes.nearest_neighbours(x, y, z, num_classes=CLASSES, temperature=1e-6), nearest)


def test_more_neighbours_than_examples_are_all_of_them(clusters):
  (x, y), _, (z, _) = clusters
  some = probes.nearest_neighbours(x[:9], y[:9], z, num_classes=CLASSES, k=20, temperature=None)
  assert set(some) == {np.bincount(y[:9]).argmax()}


def test_ridge_is_that_of_scikit_learn(clusters):
  from sklearn.linear_model import Ridge

  (x, y), _, (z, _) = clusters
  for penalty, ours in zip((10.0, 0.1, 1e-4), probes.ridge(x, y, CLASSES, (10.0, 0.1, 1e-4))):
    theirs = Ridge(alpha=penalty * len(x)).fit(x.astype(np.float64), 2 * np.eye(CLASSES)[y] - 1)
    np.testing.assert_allclose(ours.kernel, theirs.coef_.T, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.bias, theirs.intercept_, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(ours.predict(z), theirs.predict(z).argmax(1))


def test_logistic_regression_is_that_of_scikit_learn(clusters):
  from sklearn.linear_model import LogisticRegression

  (x, y), _, (z, _) = clusters
  mean, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
  for penalty, ours in zip((1.0, 0.01), probes.logistic(x, y, CLASSES, (1.0, 0.01))):
    theirs = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=5000).fit((x - mean) / scale, y)
    np.testing.assert_allclose(ours.kernel * scale[:, None], theirs.coef_.T, atol=2e-3 * np.abs(theirs.coef_).max())
    np.testing.assert_array_equal(ours.predict(z), theirs.predict((z - mean) / scale))


@pytest.mark.parametrize("fit", [probes.ridge, probes.logistic])
def test_blocks_change_nothing(clusters, fit, monkeypatch):
  (x, y), _, (z, _) = clusters
  whole, neighbours = fit(x, y, CLASSES, (0.01,))[0], probes.nearest_neighbours(x, y, z, num_classes=CLASSES)
  monkeypatch.setattr(probes, "_BLOCK", 12 * 37)  # 400 is no multiple of 37
  np.testing.assert_allclose(fit(x, y, CLASSES, (0.01,))[0].kernel, whole.kernel, atol=2e-3 * np.abs(whole.kernel).max())
  np.testing.assert_array_equal(whole.predict(z), fit(x, y, CLASSES, (0.01,))[0].predict(z))
  np.testing.assert_array_equal(probes.nearest_neighbours(x, y, z, num_classes=CLASSES), neighbours)


@pytest.mark.parametrize("fit", [probes.ridge, probes.logistic])
def test_the_penalty_is_the_one_that_is_best_on_validation(clusters, fit):
  train, valid, test = clusters
  penalties = (100.0, 1.0, 0.01)
  linear, penalty = probes.probe(fit, train, valid, num_classes=CLASSES, penalties=penalties)
  scores = [probes.accuracy(f.predict(valid[0]), valid[1]) for f in fit(*train, CLASSES, penalties)]
  assert penalties.index(penalty) == int(np.argmax(scores))
  both = np.concatenate([train[0], valid[0]]), np.concatenate([train[1], valid[1]])
  alone = fit(*both, CLASSES, (penalty,))[0]
  np.testing.assert_array_equal(linear.predict(test[0]), alone.predict(test[0]))
  assert probes.accuracy(linear.predict(test[0]), test[1]) > 0.75


def test_a_feature_that_never_changes_and_a_class_that_is_missing_do_no_harm(clusters):
  (x, y), _, (z, _) = clusters
  constant = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)
  for fit in (probes.ridge, probes.logistic):
    linear = fit(constant, y, CLASSES + 1, (0.1,))[0]
    assert np.isfinite(linear.kernel).all()
    assert CLASSES not in linear.predict(np.concatenate([z, np.ones((len(z), 1), np.float32)], 1))
