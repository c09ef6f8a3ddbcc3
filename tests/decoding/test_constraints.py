import numpy as np
import pytest
from toy import quick

from research.config import ConfigError
from research.decoding.constraints import NONE, Constraints, ban_repeated_ngrams

NUM_TOKENS, WIDTH, NUM_NEW = 6, 4, 12


def _histories(column, seed=0, num=40):
  """Prompts of 1 to WIDTH tokens flush right, then new tokens up to the column."""
  rng = np.random.default_rng(seed)
  history = np.full((num, WIDTH + NUM_NEW), NONE)
  for row in history:
    first = rng.integers(0, WIDTH)
    row[first:column] = rng.integers(0, NUM_TOKENS, column - first)
  return history


def _apply(constraints, end):
  """(scores, history, column, limits) -> scores."""
  return quick(lambda scores, history, column, limits: constraints.apply(scores, history, column, column - WIDTH, limits, end))


def _scores(num=40):
  return np.random.default_rng(3).normal(size=(num, NUM_TOKENS)).astype(np.float32)


def test_repetition_penalty_against_a_loop():
  apply = _apply(Constraints(repetition_penalty=1.5), (1,))
  for column in (WIDTH, 9):
    history, scores = _histories(column), _scores()
    wanted = scores.copy()
    for row, tokens in zip(wanted, history):
      for token in set(tokens[tokens != NONE].tolist()):
        row[token] *= 1.5 if row[token] < 0 else 1 / 1.5
    found = apply(scores, history, column, np.full(40, 9))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert (found != scores).any(1).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_ngram_comes_twice_against_a_loop(n):
  ban, num_banned = quick(ban_repeated_ngrams, n), 0
  for column in (WIDTH, WIDTH + 1, 11, 15):
    history, scores = _histories(column, seed=column, num=200), _scores(200)
    wanted = scores.copy()
    for row, tokens in zip(wanted, history):
      said = tokens[tokens != NONE].tolist()
      seen = {tuple(said[i:i + n]) for i in range(len(said) - n + 1)}
      for token in range(NUM_TOKENS):
        if (*said[len(said) - n + 1:], token) in seen and len(said) >= n - 1:
          row[token] = -np.inf
    np.testing.assert_array_equal(ban(scores, history, column), wanted)
    num_banned += np.isinf(wanted).sum()
  assert num_banned > 50


def test_bans_and_forced_tokens_in_their_order():
  apply = _apply(Constraints(banned=(3,), min_new_tokens=2, forced_first=4, forced_last=1, banned_first=(5,)), (1, 2))
  history, scores = np.zeros((3, WIDTH + NUM_NEW), int), _scores(3)
  limits = np.array([3, 8, 9])
  allowed = lambda num_new: [np.flatnonzero(np.isfinite(row)).tolist()
                             for row in np.asarray(apply(scores, history, WIDTH + num_new, limits))]
  assert allowed(0) == [[4]] * 3
  assert allowed(1) == [[0, 4]] * 3  # neither an end (1, 2) yet, nor 5 where the first was forced, nor 3 ever
  assert allowed(2) == [[1], [0, 1, 2, 4, 5], [0, 1, 2, 4, 5]]
  assert allowed(7) == [[0, 1, 2, 4, 5], [1], [0, 1, 2, 4, 5]]
  free = _apply(Constraints(banned_first=(5,)), (1,))(scores, history, WIDTH, limits)
  assert np.isinf(free[:, 5]).all() and np.isfinite(free[:, :5]).all()


@pytest.mark.parametrize("wrong", [{"repetition_penalty": 0.0}, {"no_repeat_ngram": -1}, {"min_new_tokens": -2},
                                   {"forced_first": 3, "banned": (2, 3)}, {"forced_last": 2, "banned": (2,)}])
def test_mistakes_name_the_field(wrong):
  with pytest.raises(ConfigError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
    Constraints(**wrong)
