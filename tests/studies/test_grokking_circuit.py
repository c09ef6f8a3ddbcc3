"""Waves that were planted are found, in a table of vectors and in logits; small losses are not lost to rounding."""

import jax
import numpy as np
import pytest
from parts import InMemory

from experiments import grokking_circuit
from research import config
from research.studies import grokking_circuit as study
from research.studies.grokking_circuit import by_sum, key_frequencies, losses, restricted, restricted_loss, wave_power

PRIME = 23
NUMBERS = np.arange(PRIME)


def wave(k, x):
  return np.cos(2 * np.pi * k * x / PRIME)


@pytest.fixture(scope="module", autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def test_planted_frequencies_are_the_key_ones():
  rng = np.random.default_rng(0)
  phases = rng.uniform(0, PRIME, (3, 16))
  vectors = [wave(k, NUMBERS[:, None] - phase / k) for k, phase in zip((4, 9, 2), phases)]
  embedding = 3 * vectors[0] + 2 * vectors[1] + vectors[2] + 50  # a constant is no wave
  power = np.asarray(wave_power(embedding))
  np.testing.assert_allclose(power / power.sum() * 14, np.eye(11)[3] * 9 + np.eye(11)[8] * 4 + np.eye(11)[1], atol=1e-9)
  assert key_frequencies(power, 0.6).tolist() == [4]
  assert key_frequencies(power, 0.9).tolist() == [4, 9]
  assert key_frequencies(power, 0.95).tolist() == [4, 9, 2]


def test_noise_has_no_key_frequencies():
  table = np.random.default_rng(0).normal(size=(113, 128))
  assert len(key_frequencies(wave_power(table), 0.9)) > 45
  assert len(key_frequencies(np.full(56, 1.0), 0.5)) == 29  # more than half


def test_logits_are_restricted_to_planted_waves_of_the_sum():
  a, b, c = np.meshgrid(NUMBERS, NUMBERS, NUMBERS, indexing="ij")
  rng = np.random.default_rng(0)
  of_sums = lambda x: 5 * wave(3, x) + 4 * wave(7, x)
  bias = rng.normal(size=PRIME)
  other = wave(2, a - b) * wave(5, c) + rng.normal(size=(PRIME, 1, PRIME))  # waves of the difference; of one number alone
  means = np.asarray(by_sum(of_sums(a + b - c) + bias + other))
  left, wanted = restricted(means, [3, 7]), of_sums(NUMBERS[:, None] - NUMBERS) + bias
  np.testing.assert_allclose(left - left.mean(0), wanted - wanted.mean(0), atol=1e-9)
  np.testing.assert_allclose(restricted(means, [7]) - left, -5 * wave(3, NUMBERS[:, None] - NUMBERS), atol=1e-9)


def test_the_loss_falls_with_the_waves_that_add_and_with_no_others():
  adds = np.stack([scale * sum(wave(k, NUMBERS[:, None] - NUMBERS) for k in (1, 3, 8)) for scale in (0, 2, 8)])
  found = restricted_loss(adds, [1, 3, 8])
  assert found[0] == pytest.approx(np.log(PRIME)) and found[0] > found[1] > 0.1 > 1e-4 > found[2] > 0
  np.testing.assert_allclose(restricted_loss(adds, [2, 4]), np.log(PRIME))


def test_small_losses_are_not_rounded_away():
  logits = np.zeros((1, PRIME), np.float32)
  logits[0, 5] = 25
  np.testing.assert_allclose(losses(logits, np.array([5])), (PRIME - 1) * np.exp(-25), rtol=1e-3)


def test_the_network_is_one_layer_seen_at_its_last_token():
  params = {name: np.asarray(w, np.float64) for name, w in study.initial(jax.random.key(0), PRIME, 8, 2, 12).items()}
  params["up_bias"] += 0.3
  x = params["embedding"][[4, 9, PRIME]] + params["position"]
  out = x[2]
  for head in range(2):
    score = [x[2] @ params["query"][:, head] @ (x[t] @ params["key"][:, head]) / 2 for t in range(3)]
    weight = np.exp(score) / np.exp(score).sum()
    out = out + weight @ x @ params["value"][:, head] @ params["out"][head]
  out = out + np.maximum(out @ params["up"] + params["up_bias"], 0) @ params["down"] + params["down_bias"]
  found = study.logits(params, np.array([[4, 9], [9, 4]]))
  np.testing.assert_allclose(found[0], out @ params["head"], rtol=1e-9)
  assert np.abs(found[0] - found[1]).max() > 1e-3


def test_settings_that_cannot_be_are_refused():
  for wrong, words in (({"prime": 22}, "must be odd"), ({"dim": 30}, "multiple of num_heads"), ({"steps": 150}, "multiple of"),
                       ({"train_share": 1.0}, "between 0 and 1")):
    with pytest.raises(config.ConfigError, match=words):
      config.override(grokking_circuit.experiment(), wrong)


@pytest.mark.heavy
def test_a_small_table_is_understood_by_waves_after_it_was_known_by_heart():
  metrics = config.override(grokking_circuit.experiment(), {
      "prime": 31, "train_share": 0.7, "dim": 64, "mlp_dim": 128, "steps": 1_500, "evaluate_every": 150,
      "optimizer.learning_rate": 2e-3}).measure(0, InMemory()).metrics
  assert metrics["test_loss"] < 0.3 and metrics["train_steps"] < metrics["test_steps"] and metrics["lead"] > 0
  assert metrics["key_frequencies"] <= 8 < metrics["key_frequencies_at_start"]
  assert metrics["weakest_loss"] > 2 > metrics["restricted_loss"]
