"""Rules say what holds for each parameter, and misspelt ones are found."""

import jax
import pytest

from research import rules
from research.config import ConfigError

TREE = {"layers": {0: {"kernel": 1.0, "bias": 2.0}, 1: {"kernel": 3.0, "bias": 4.0}}, "head": {"kernel": 5.0}}


def test_paths_are_in_the_order_of_the_leaves():
  assert rules.paths(TREE) == {
      "head/kernel": 5.0, "layers/0/bias": 2.0, "layers/0/kernel": 1.0, "layers/1/bias": 4.0, "layers/1/kernel": 3.0}
  assert list(rules.paths(TREE).values()) == jax.tree.leaves(TREE)


def test_the_first_rule_that_matches_the_whole_path_wins():
  got = rules.apply((("head/.*", "a"), (".*/kernel", "b"), (".*", "c")), TREE)
  assert got == {"layers": {0: {"kernel": "b", "bias": "c"}, 1: {"kernel": "b", "bias": "c"}}, "head": {"kernel": "a"}}


def test_part_of_a_path_is_no_match():
  with pytest.raises(ConfigError):
    rules.apply((("kernel", 1), (".*bias", 0)), TREE)


def test_all_uncovered_parameters_are_listed():
  with pytest.raises(ConfigError, match="no rule covers layers/0/bias, layers/1/bias;"):
    rules.apply(((".*kernel", 1),), TREE)


def test_a_rule_that_matches_nothing_is_an_error_unless_allowed():
  misspelt = (("hed/.*", 0), (".*", 1))
  with pytest.raises(ConfigError, match=r"'hed/\.\*' matches no parameter"):
    rules.apply(misspelt, TREE)
  assert set(rules.by_path(misspelt, TREE, unused=True).values()) == {1}


def test_a_catch_all_behind_complete_rules_is_no_misspelling():
  assert rules.apply(((".*kernel", 1), (".*bias", 2), (".*", 3)), TREE)["head"]["kernel"] == 1


def test_a_broken_regex_is_a_users_mistake():
  with pytest.raises(ConfigError, match="no regular expression"):
    rules.check((("(", 1),))
