"""Paired tests: p-values are those of sacreBLEU, of exact enumeration, and uniform where nothing differs."""

import functools
import itertools

import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest
from texts import many

from research.metrics.base import mean
from research.metrics.significance import approximate_randomization, paired_bootstrap
from research.metrics.translation import Bleu


@functools.cache
def corpus():
  return many(60)


@pytest.mark.parametrize(("kind", "ours", "num"), [("bs", paired_bootstrap, 1000), ("ar", approximate_randomization, 2000)])
def test_p_values_are_sacrebleus(kind, ours, num):
  references, first, second = corpus()
  second = [f if i % 6 else s for i, (f, s) in enumerate(zip(first, second))]  # else the difference is beyond doubt
  _, results = PairedTest([("first", first), ("second", second)], {"BLEU": sacrebleu.BLEU()}, [references], test_type=kind,
                          n_samples=num)()
  rows = [Bleu().rows(system, [[r] for r in references])["bleu"] for system in (first, second)]
  found = ours(*rows, Bleu().metrics["bleu"].value)
  theirs_a, theirs_b = results["BLEU"]
  assert found.value == pytest.approx(theirs_b.score - theirs_a.score, abs=1e-9)
  assert 0.01 < theirs_b.p_value < 0.9
  assert found.p_value == pytest.approx(theirs_b.p_value, abs=0.04), found


def test_randomization_agrees_with_all_exchanges():
  rng = np.random.default_rng(0)
  a, b = (np.stack([rng.random(8), np.ones(8)], 1) for _ in range(2))
  gap = b[:, 0] - a[:, 0]
  exact = [abs(np.array(signs) @ gap) > abs(gap.sum()) * (1 + 1e-9) for signs in itertools.product((-1, 1), repeat=8)]
  assert approximate_randomization(a, b, mean, num_trials=20_000).p_value == pytest.approx(np.mean(exact), abs=0.015)


def test_the_bootstrap_interval_is_the_normal_one_of_paired_differences():
  rng = np.random.default_rng(1)
  base, gap = rng.normal(0, 5, 400), rng.normal(0.1, 1, 400)  # unpaired, the spread of the base would hide the gap
  a, b = (np.stack([values, np.ones(400)], 1) for values in (base, base + gap))
  found = paired_bootstrap(a, b, mean)
  half = 1.96 * gap.std() / 20
  np.testing.assert_allclose(found.interval, [gap.mean() - half, gap.mean() + half], atol=0.15 * half)


def test_alike_systems_are_seldom_called_different():
  rng = np.random.default_rng(2)
  low = 0
  for trial in range(200):
    a, b = (np.stack([rng.random(50), np.ones(50)], 1) for _ in range(2))
    low += approximate_randomization(a, b, mean, num_trials=200, seed=trial).p_value <= 0.05
  assert 0.01 <= low / 200 <= 0.1


@pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomization])
def test_a_system_does_not_differ_from_itself_and_the_sign_is_that_of_the_second(test):
  rows = np.stack([np.arange(50.0), np.ones(50)], 1)
  assert test(rows, rows, mean).p_value == 1
  better = test(rows, rows + np.array([1, 0]), mean)
  assert better.value == pytest.approx(1) and better.p_value < 0.01
