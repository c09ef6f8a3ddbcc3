"""Perplexities with their units."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError
from research.metrics.language_modeling import bits_per, nats_per, perplexity_per
from research.nn.vocabulary import TokenScores
from research.tasks.language_modeling import LanguageModeling


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
  (metric,) = perplexity_per("subword").values()
  assert metric.value(np.array([50 * math.log(1000), 50])) == pytest.approx(1000)


def test_the_same_nats_over_words_and_bytes():
  nats, subwords, words, text_bytes = 600.0, 200, 150, 800
  counted = ((nats_per("subword"), subwords), (perplexity_per("word"), words), (bits_per("byte"), text_bytes))
  values = {name: metric.value(np.array([nats, count])) for metrics, count in counted for name, metric in metrics.items()}
  expected = {"nats_per_subword": 3.0, "perplexity_per_word": math.exp(4), "bits_per_byte": 0.75 / math.log(2)}
  assert values == pytest.approx(expected)


def test_a_language_model_is_scored_by_bytes_and_words_too():
  task = LanguageModeling(vocab_size=4, token="subword", per=("byte", "word"), protocol="windows of 3")
  scores = TokenScores(jnp.zeros((2, 3, 2)), jnp.zeros((4, 2)))  # knows nothing: log 4 nats a token
  batch = {"targets": jnp.array([[0, 1, 2], [3, 0, 0]]), "weights": jnp.array([[1, 1, 1], [1, 0, 0]]),
           "bytes": jnp.array([9.0, 3.0]), "words": jnp.array([2.0, 0.5])}
  rows = task.statistics(scores, batch)
  values = {name: task.metrics[name].value(np.asarray(row, np.float64).sum(0)) for name, row in rows.items()}
  expected = {"loss": math.log(4), "perplexity_per_subword": 4, "accuracy": 0, "bits_per_byte": 4 * 2 / 12,
              "perplexity_per_word": 4 ** (4 / 2.5)}
  assert values == pytest.approx(expected)
  assert task.metrics["perplexity_per_word"].signature == "exp of nats/word|windows of 3"
  with pytest.raises(ConfigError, match="a byte is what token says already"):
    LanguageModeling(vocab_size=4, token="byte", per=("byte",))


def test_units_and_protocols_are_in_the_signature():
  assert perplexity_per("word", "full test split")["perplexity_per_word"].signature == "exp of nats/word|full test split"
  assert len({perplexity_per(unit)[f"perplexity_per_{unit}"].signature for unit in ("token", "word", "character")}) == 3


def test_what_is_beyond_a_float_is_infinite_and_nothing_is_not_a_number():
  (metric,) = perplexity_per("token").values()
  assert metric.value(np.array([1e6, 1])) == math.inf
  assert math.isnan(metric.value(np.zeros(2)))
