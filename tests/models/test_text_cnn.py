"""A convolutional network for sentences: windows, padding, settings."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import compiled, random_network

from research.config import ConfigError
from research.models import text_cnn
from research.training.state import merge

CONFIG = text_cnn.Config(vocab_size=11, dim=4, widths=(2, 5), num_filters=3)
TOKENS = np.array([[3, 4, 5, 6, 7, 8], [8, 9, 10, 2, 2, 2], [1, 0, 0, 0, 0, 0]])
LENGTHS = np.array([6, 3, 1])


@functools.cache
def network():
  return random_network(CONFIG, 2)


@functools.cache
def runner():
  definition, _ = network()
  return compiled(lambda params, tokens, mask: merge(definition, params, {}).features(tokens, mask))


def run(tokens, lengths):
  return np.asarray(runner()(network()[1], jnp.asarray(tokens), np.arange(tokens.shape[1]) < np.asarray(lengths)[:, None]))


def test_every_window_that_touches_the_text_counts_and_no_other():
  params, table = network()[1], network()[1]["embedding"]["embedding"]
  for row, tokens, length in zip(run(TOKENS, LENGTHS), TOKENS, LENGTHS):
    expected = []
    for index, width in enumerate(CONFIG.widths):
      conv = params["filters"][str(index)] if str(index) in params["filters"] else params["filters"][index]
      x = np.concatenate([np.zeros((width - 1, 4)), table[tokens[:length]], np.zeros((width - 1, 4))])
      answers = [np.einsum("wd,wdf->f", x[t:t + width], conv["kernel"]) + conv["bias"] for t in range(length + width - 1)]
      expected.append(np.maximum(np.max(answers, 0), 0))
    np.testing.assert_allclose(row, np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
  other = np.where(np.arange(6) < LENGTHS[:, None], TOKENS, 7)
  np.testing.assert_array_equal(run(TOKENS, LENGTHS), run(other, LENGTHS))
  assert (run(TOKENS, LENGTHS)[1] != run(TOKENS, [6, 6, 6])[1]).any()


def test_settings():
  with pytest.raises(ConfigError, match=r"widths=\(\): give one or more"):
    text_cnn.Config(vocab_size=11, widths=())
  with pytest.raises(ConfigError, match=r"dropout=1\.0"):
    text_cnn.Config(vocab_size=11, dropout=1.0)
  with pytest.raises(ConfigError, match="vocab_size=0"):
    text_cnn.Config(vocab_size=0)
