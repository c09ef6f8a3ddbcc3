"""The shared network: its data are the digits, its layers cover every parameter, it learns and repeats."""

import jax
import numpy as np
import pytest

from research import config
from research.rules import paths
from research.studies import digits_cnn


def test_the_split_is_fixed_disjoint_and_complete():
  digits = digits_cnn.load()
  assert digits.images.shape == (1_297, 8, 8, 1) and digits.test_images.shape == (500, 8, 8, 1)
  assert digits.images.dtype == np.float32 and digits.images.min() == 0 and digits.images.max() == 1
  together = np.concatenate([digits.images, digits.test_images]).reshape(1_797, -1)
  original = digits_cnn.load_digits()[0].reshape(1_797, -1) / 16
  np.testing.assert_array_equal(np.sort(together @ np.arange(64)), np.sort(original @ np.arange(64)))
  np.testing.assert_array_equal(digits.images, digits_cnn.load().images)


def test_the_network_is_the_papers_substitute_and_its_layers_cover_it():
  apply, params = digits_cnn.build(digits_cnn.RECIPE, 0)
  shapes = {path: leaf.shape for path, leaf in paths(params).items() if path.endswith("kernel")}
  assert shapes == {"convolutions/0/kernel": (3, 3, 1, 32), "convolutions/1/kernel": (3, 3, 32, 64),
                    "layers/0/kernel": (4 * 4 * 64, 128), "head/kernel": (128, 10)}
  assert digits_cnn.layers_from_the_top(digits_cnn.RECIPE) == ["head", "layers/0", "convolutions/1", "convolutions/0"]
  assert apply(params, digits_cnn.load().images[:3]).shape == (3, 10)
  wide = params["layers"][0]["kernel"]
  assert float(wide.std()) == pytest.approx(np.sqrt(2 / wide.shape[0]), rel=0.02)  # He


def test_training_learns_and_the_same_seed_gives_the_same_weights():
  digits = digits_cnn.load()
  runs = [digits_cnn.train(digits_cnn.RECIPE, digits.images[:256], digits.labels[:256], seed=seed, epochs=8)
          for seed in (0, 0, 1)]
  (apply, params, losses), (_, again, _), (_, other, _) = runs
  assert losses.shape == (8,) and losses[-1] < 0.3 * losses[0]
  assert digits_cnn.accuracy(apply, params, digits.test_images, digits.test_labels) > 0.75
  same = lambda a, b: all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))
  assert same(params, again) and not same(params, other)


def test_random_labels_know_nothing_of_the_images():
  labels = digits_cnn.random_labels(1_297, 0)
  assert np.mean(labels == digits_cnn.load().labels) == pytest.approx(0.1, abs=0.03)
  assert np.bincount(labels, minlength=10).min() > 90
  np.testing.assert_array_equal(labels, digits_cnn.random_labels(1_297, 0))
  assert (labels != digits_cnn.random_labels(1_297, 1)).any()


def test_a_batch_larger_than_the_data_is_refused():
  with pytest.raises(config.ConfigError, match="batch_size"):
    config.override(digits_cnn.RECIPE, {"batch_size": 2_000})
