"""What each transform does, and that chance belongs to the example."""

import numpy as np
import pytest
from pictures import randomness

from research.preprocessing import arrays
from research.preprocessing.randomness import Randomness
from research.preprocessing.transform import MissingFeatureError, apply, stacked

# --- randomness ------------------------------------------------------------------------------------------------------


def test_uniform_and_normal_numbers_are_what_they_say():
  uniform = randomness(np.arange(500)).uniform(400)
  assert uniform.min() >= 0 and uniform.max() < 1
  counts = np.bincount((uniform * 50).astype(int).ravel(), minlength=50)
  assert ((counts - 4000) ** 2 / 4000).sum() < 90  # chi-squared, 49 degrees of freedom: p = 3e-4
  normal = randomness(np.arange(500)).normal(401)
  assert normal.shape == (500, 401)
  assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01 and abs((normal ** 4).mean() - 3) < 0.1


def test_examples_epochs_seeds_and_folds_are_independent():
  streams = [randomness(np.arange(2000)), randomness(np.arange(2000), epoch=1), randomness(np.arange(2000), seed=1),
             randomness(np.arange(2000)).fold(0), randomness(np.arange(2000)).fold(1)]
  draws = np.stack([s.uniform(3) for s in streams]).transpose(0, 2, 1).reshape(15, 2000)
  correlation = np.corrcoef(draws) - np.eye(15)
  assert np.abs(correlation).max() < 0.1
  assert np.abs(np.corrcoef(draws[0, :-1], draws[0, 1:])[0, 1]) < 0.1


def test_an_examples_numbers_do_not_depend_on_its_batch():
  whole, part = randomness([5, 9, 2]), randomness([9])
  np.testing.assert_array_equal(whole.uniform(4)[1], part.uniform(4)[0])
  assert whole.generator(1).random() == part.generator(0).random() != whole.generator(0).random()


def test_a_stream_is_splitmix64():
  """The first outputs that are published for the state 1234567, of which 53 bits are used."""
  published = np.array([6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431], np.uint64)
  stream = Randomness(lambda: np.array([1234567], np.uint64))
  np.testing.assert_array_equal(stream.uniform(4)[0], (published >> np.uint64(11)) / 2**53)


def test_the_numbers_of_a_seed_never_change():
  np.testing.assert_allclose(randomness([3], seed=7, epoch=2).uniform(2), [[0.5715793612, 0.9665577540]], atol=1e-10)


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_names():
  features = {"image": np.zeros(2), "label": np.ones(2), "key": ["a", "b"]}
  renamed = arrays.Rename(pairs=(("image", "inputs"),))(features, None)
  assert list(renamed) == ["inputs", "label", "key"] and list(features) == ["image", "label", "key"]
  assert list(arrays.Select(names=("label",))(features, None)) == ["label"]
  with pytest.raises(MissingFeatureError, match="Rename: there is no feature 'x', only image, label, key"):
    arrays.Rename(pairs=(("x", "y"),))(features, None)


def test_numbers():
  x = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
  run = lambda transform, x=x: transform({"inputs": x}, None)["inputs"]
  scaled = run(arrays.Scale(factor=2.0, offset=-1.0))
  assert scaled.dtype == np.float32
  np.testing.assert_array_equal(scaled, 2.0 * x - 1)
  assert run(arrays.Scale(factor=2.0), x.astype(np.float64)).dtype == np.float64
  standard = run(arrays.Standardize(mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0)))
  np.testing.assert_allclose(standard, (x - np.array([1, 2, 3.0])) / [1, 2, 4])
  assert run(arrays.Cast(dtype="int32")).dtype == np.int32
  assert run(arrays.Reshape()).shape == (2, 6) and run(arrays.Reshape(shape=(3, 2))).shape == (2, 3, 2)
  assert run(arrays.Reshape(shape=(-1, 1))).shape == (2, 6, 1) and run(arrays.Reshape(), x[:0]).shape == (0, 6)


def test_standardize_refuses_what_cannot_be():
  with pytest.raises(ValueError, match="2 means and 1 deviations"):
    arrays.Standardize(mean=(1.0, 2.0), std=(1.0,))
  with pytest.raises(ValueError, match="above 0"):
    arrays.Standardize(mean=(1.0,), std=(0.0,))


def test_noise_is_for_training_only():
  x = np.zeros((3000, 4), np.float32)
  noise = arrays.Noise(scale=2.0)
  np.testing.assert_array_equal(noise({"inputs": x}, None)["inputs"], x)
  noisy = noise({"inputs": x}, randomness(np.arange(3000)))["inputs"]
  assert noisy.dtype == np.float32 and abs(noisy.std() - 2) < 0.05 and abs(np.corrcoef(noisy.T)[0, 1]) < 0.08


def test_two_transforms_of_a_chain_draw_different_numbers():
  x = np.zeros((4, 5), np.float32)
  noise = arrays.Noise(scale=1.0)
  once = apply((noise,), {"inputs": x}, randomness(np.arange(4)))["inputs"]
  twice = apply((noise, noise), {"inputs": x}, randomness(np.arange(4)))["inputs"]
  assert np.abs(twice - 2 * once).min() > 0


def test_only_equal_shapes_of_numbers_are_stacked():
  with pytest.raises(ValueError, match=r"'x': examples have different shapes, \(1,\) and \(2,\)"):
    stacked([np.zeros(1), np.zeros(2)], "x")
  with pytest.raises(ValueError, match="'x' is no number"):
    stacked(["a"], "x")
