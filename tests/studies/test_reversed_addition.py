"""Sums are drawn with digits and carries in balance, written in both formats, and counted right as decoding writes them."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import reversed_addition
from research import config
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.studies import scanned
from research.studies.reversed_addition import balanced, carries, exact, others, rows, written


def test_carries_are_counted_column_by_column():
  assert carries([[128, 367], [999, 1], [999, 999], [12, 34], [0, 0]]).tolist() == [1, 3, 3, 0, 0]


def test_sums_are_balanced_by_digits_and_carries():
  pairs = balanced(10_000, 3, np.random.default_rng(0))
  assert {tuple(pair) for pair in pairs[:100].tolist()} == {(a, b) for a in range(10) for b in range(10)}
  assert pairs.shape == (10_000, 2) and pairs[100:1000].max() == 99 and pairs[1000:].max() == 999
  counts = np.bincount(carries(pairs))
  assert len(counts) == 4 and counts.max() <= 2_500  # so that each is a quarter
  chance = np.bincount(carries(np.random.default_rng(1).integers(1000, size=(10_000, 2))))
  assert chance.min() < 2_000 and chance.max() > 3_000


def test_other_sums_are_new():
  pairs = balanced(300, 2, np.random.default_rng(0))
  tests = others(pairs, 5_000, 2, np.random.default_rng(1))
  every = {tuple(pair) for pair in tests.tolist()}
  assert len(every) == 5_000 and not every & {tuple(pair) for pair in pairs.tolist()} and tests.max() == 99 and tests.min() == 0


def test_lines_are_as_the_authors_write_them():
  pairs = np.array([[128, 367], [7, 3]])
  assert written(pairs, backwards=False) == ["128+367=495\n", "7+3=10\n"]
  assert written(pairs, backwards=True) == ["$128+367=594$\n", "$7+3=01$\n"]
  for backwards, answers in ((False, ["495\n", "10\n"]), (True, ["594$\n", "01$\n"])):
    tokens, answer = rows(written(pairs, backwards))
    assert ["".join(map(chr, row[part])) for row, part in zip(tokens, answer)] == answers


def test_exact_is_what_greedy_decoding_writes():
  block = scanned.gpt2(BlockConfig(dim=16, num_heads=2, mlp_dim=0), 1)
  model = transformer.Config(num_layers=1, max_length=8, block=block, tied=True)
  network, params = scanned.build(model, jax.ShapeDtypeStruct((64, 7), jnp.int32), 128, 0)
  params = jax.tree.map(lambda w: 20 * w, params)  # so that what comes next depends on what came before
  likeliest = jax.jit(lambda tokens: jnp.argmax(network(params)(tokens), axis=2))
  prompts = np.random.default_rng(0).integers(48, 58, (64, 3))
  lines = np.concatenate([prompts, np.full((64, 1), ord("=")), np.zeros((64, 4), int)], axis=1).astype(np.int32)
  for t in range(4, 8):
    lines[:, t] = np.asarray(likeliest(lines[:, :-1]))[:, t - 1]
  answer = np.arange(8) >= np.array([4])
  answer = np.broadcast_to(answer, lines.shape)
  assert exact(network(params), lines, answer).all()
  for t in range(4, 8):  # another answer, wherever it differs, is not what was written
    assert not exact(network(params), lines + (np.arange(8) == t), answer).any()
  assert exact(network(params), lines, answer & (np.arange(8) < 6)).all()
  assert len(collections.Counter(map(tuple, lines[:, 4:].tolist()))) > 5


def test_settings_that_cannot_be_are_refused():
  for wrong, words in (({"num_digits": 4}, "2 or 3"), ({"num_train": 150}, "at least 200"),
                       ({"plain_steps": 750}, "multiple of"), ({"num_test": 995_000}, "together at most 1000000")):
    with pytest.raises(config.ConfigError, match=words):
      config.override(reversed_addition.experiment(), wrong)
