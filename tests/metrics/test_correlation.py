"""Correlations against SciPy's."""

import numpy as np
import pytest
import scipy.stats

from research.metrics.correlation import pearson, spearman


@pytest.mark.parametrize("ours, theirs", [(pearson, scipy.stats.pearsonr), (spearman, scipy.stats.spearmanr)])
def test_correlations_are_scipys_with_ties_and_repeated_examples(ours, theirs):
  rng = np.random.default_rng(0)
  truth = rng.integers(0, 6, 200) / 2
  predicted = np.round(truth + rng.normal(size=200), 1)
  assert ours(truth, predicted) == pytest.approx(theirs(truth, predicted)[0], abs=1e-12)
  times = rng.integers(0, 4, 200)
  repeated = np.repeat(truth, times), np.repeat(predicted, times)
  assert ours(truth, predicted, times) == pytest.approx(theirs(*repeated)[0], abs=1e-12)


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_constants_have_no_correlation(metric):
  assert np.isnan(metric(np.ones(3), np.arange(3.0)))
  assert np.isnan(metric(np.arange(3.0), np.ones(3)))
  assert np.isnan(metric(np.arange(3.0), np.arange(3.0), np.zeros(3)))
