"""Per-parameter behaviour, stated outside the model: ordered (regex, value) rules over parameter paths.

Used for learning-rate multipliers, penalties, freezing, sharding and adapters. The first rule whose regex matches the
whole path decides.
"""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import jax

from research.config import ConfigError

_V = TypeVar("_V")
Rules = Sequence[tuple[str, _V]]


def paths(tree: Any) -> dict[str, Any]:
  """Every leaf by its path, "layers/0/kernel", in the order of jax.tree.leaves."""
  return {join(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def join(path: tuple) -> str:
  """A key path of jax.tree_util as one word: "layers/0/kernel"."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


def check(rules: Rules) -> None:
  """Raises ConfigError if a regex cannot be read; for configurations, which know no parameters yet."""
  for pattern, _ in rules:
    try:
      re.compile(pattern)
    except re.error as error:
      raise ConfigError(f"rule {pattern!r} is no regular expression: {error}") from None


def by_path(rules: Rules[_V], tree: Any, *, unused: bool = False) -> dict[str, _V]:
  """The value of each leaf by its path.

  Args:
    rules: (regex, value) in order.
    tree: parameters, abstract or not.
    unused: accept rules whose regex matches no path; otherwise such a rule is taken for a misspelling.

  Raises:
    ConfigError: paths that no rule covers, all listed; or a rule that matches nothing.
  """
  check(rules)
  names = list(paths(tree))
  matches = {name: [i for i, (pattern, _) in enumerate(rules) if re.fullmatch(pattern, name)] for name in names}
  if uncovered := [name for name in names if not matches[name]]:
    raise ConfigError(f"no rule covers {', '.join(uncovered)}; rules are {[pattern for pattern, _ in rules]}")
  idle = set(range(len(rules))).difference(*matches.values())
  if idle and not unused:
    raise ConfigError(f"rule {rules[min(idle)][0]!r} matches no parameter; there are {', '.join(names)}")
  return {name: rules[found[0]][1] for name, found in matches.items()}


def apply(rules: Rules[_V], tree: Any, *, unused: bool = False) -> Any:
  """As `by_path`, in a tree of the same structure. A value must not itself be a container."""
  values = by_path(rules, tree, unused=unused)
  return jax.tree.map_with_path(lambda path, _: values[join(path)], tree)
