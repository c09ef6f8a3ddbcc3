import numpy as np

from research.metrics.base import bootstrap, mean


def test_bootstrap_agrees_with_the_normal_interval_of_a_mean():
  values = np.random.default_rng(0).normal(3, 1, 2000)
  low, high = bootstrap(np.stack([values, np.ones_like(values)], 1), mean)
  half = 1.96 * values.std() / len(values) ** 0.5
  np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.15 * half)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
  rng = np.random.default_rng(1)
  hits = 0
  for trial in range(200):
    right = (rng.random(200) < 0.7).astype(float)
    low, high = bootstrap(np.stack([right, np.ones_like(right)], 1), mean, num_resamples=300, seed=trial)
    hits += low <= 0.7 <= high
  assert 0.90 <= hits / 200 <= 0.99


def test_a_mean_over_nothing_is_not_a_number():
  assert np.isnan(mean(np.zeros(2)))
