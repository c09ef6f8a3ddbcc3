"""The generator against values of the authors' published file."""

import numpy as np
import pytest

from research.data.mnist1d import MNIST1D, make_mnist1d, shuffled_positions, templates


def test_the_published_file_is_reproduced():
  data = make_mnist1d()
  published = [-.332006, -.471910, -.778697, -1.009741]  # six digits
  np.testing.assert_allclose(data["x"][0, :4], published, rtol=0, atol=6e-7)
  np.testing.assert_array_equal(data["y"][:10], [2, 6, 4, 5, 6, 6, 6, 0, 3, 1])
  assert data["x"].shape == (4000, 40) and data["x_test"].shape == (1000, 40)
  assert data["y"].shape == (4000,) and data["y_test"].shape == (1000,)
  assert data["x"].dtype == np.float64 and data["y"].dtype == np.int64
  x, y = (np.concatenate([data[n], data[n + "_test"]]) for n in "xy")
  assert abs(x.mean()) < 1e-12 and abs(x.std() - 1) < 1e-12
  np.testing.assert_array_equal(np.bincount(y), [500] * 10)


def test_templates_start_at_zero_and_have_one_spread():
  assert templates().shape == (10, 12) and not templates()[:, 0].any()
  np.testing.assert_allclose(templates().std(1), 1 / 6)


def test_positions_are_shuffled_by_a_permutation():
  np.testing.assert_array_equal(np.sort(shuffled_positions()), np.arange(40))
  np.testing.assert_array_equal(shuffled_positions(), np.random.RandomState(42).permutation(40))


def test_sizes_and_seeds():
  small = make_mnist1d(num_samples=20, num_train=15, seed=1)
  assert small["x"].shape == (15, 40) and small["x_test"].shape == (5, 40)
  assert (small["x"] != make_mnist1d(num_samples=20, num_train=15, seed=2)["x"]).any()
  with pytest.raises(ValueError, match=r"num_samples=25: .*multiple of 10"):
    make_mnist1d(num_samples=25)
  with pytest.raises(ValueError, match="num_train=30"):
    make_mnist1d(num_samples=20, num_train=30)


def test_the_splits_and_the_shuffled_variant():
  train, test = (MNIST1D(split=s).open(None) for s in ("train", "test"))
  assert (len(train), len(test)) == (4000, 1000)
  assert train.read(np.arange(10))["labels"].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
  plain = test.read(np.arange(5))["inputs"]
  shuffled = MNIST1D(split="test", shuffled=True).open(None).read(np.arange(5))["inputs"]
  assert (plain != shuffled).any()
  np.testing.assert_array_equal(np.sort(plain), np.sort(shuffled))
