"""A pentagon has two fifths of a dimension a feature, and sparsity alone decides whether features share dimensions."""

import jax
import numpy as np
import pytest
from parts import InMemory

from experiments import superposition
from research import config
from research.studies.superposition import angles, dimensionality, reconstruct


def pentagon():
  at = 2 * np.pi * np.arange(5) / 5
  return np.stack([np.cos(at), np.sin(at)])


def test_pentagon_has_two_fifths_of_a_dimension_a_feature():
  np.testing.assert_allclose(dimensionality(pentagon()[None]), 0.4)
  np.testing.assert_allclose(angles(pentagon()), 72)


def test_orthogonal_features_have_a_dimension_each_and_absent_ones_none():
  np.testing.assert_allclose(dimensionality(np.array([[[1.0, 0, 0], [0, 2, 0]]])), [[1, 1, 0]])


def test_pentagon_with_a_bias_gives_back_single_features():
  cosine = np.cos(2 * np.pi / 5)
  params = {"kernel": pentagon()[None] / np.sqrt(1 - cosine), "bias": np.full((1, 5), -cosine / (1 - cosine))}
  np.testing.assert_allclose(reconstruct(params, np.eye(5)[None]), np.eye(5)[None], atol=1e-5)


@pytest.mark.heavy
def test_sparsity_decides_whether_features_share_dimensions():
  metrics = config.override(superposition.experiment(), {
      "sparsities": (0.0, 0.99), "instances": 2, "batch_size": 256, "steps": 800, "optimizer.learning_rate": 1e-2}).measure(
          0, InMemory()).metrics
  assert metrics["most_features_0"] == 2
  assert metrics["fewest_features_0.99"] >= 4
  assert metrics["most_dimensionality_0.99"] < 0.6 < 0.9 < metrics["most_dimensionality_0"]


def test_a_network_is_trained_as_if_alone():
  study = config.override(superposition.experiment(), {"instances": 2, "batch_size": 16})
  gradient, params = jax.jit(jax.grad(study._loss(jax.random.key(0), 0.9))), study._initial(0)
  other = jax.tree.map(lambda p: p.at[1].mul(2), params)
  first, second = ((gradient(p, 0)["kernel"]) for p in (params, other))
  np.testing.assert_array_equal(first[0], second[0])
  assert np.abs(first[1] - second[1]).max() > 0
