"""Configuration: paths, types, errors of one line, JSON and the hash."""

import dataclasses
import json
from typing import Literal

import pytest

from research import config
from research.config import ConfigError, Duration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """An optimizer.

  Attributes:
    rate: step size,
      in units of nothing.
    kind: which.
  """

  rate: float = 0.1
  kind: Literal["sgd", "adam"] = "sgd"
  betas: tuple[float, float] = (0.9, 0.99)
  widths: tuple[int, ...] = (1, 2)
  rules: tuple[tuple[str, float], ...] = ((".*", 1.0),)
  warmup: Duration = Duration(5, "%")
  clip: float | None = None
  nesterov: bool = False
  window: tuple[float, float] | None = None
  log_every: int = config.detail(3)
  paper: object = config.outside(None)

  def __post_init__(self):
    if self.rate < 0:
      raise ConfigError(f"rate={self.rate}: must be at least 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
  optimizer: Optimizer = Optimizer()
  parts: tuple[Optimizer, ...] = (Optimizer(), Optimizer(rate=0.3))
  members: dict[str, Optimizer] = dataclasses.field(default_factory=lambda: {"a": Optimizer()})


CHANGES = {
    "optimizer.rate": "3", "optimizer.betas": "1,2", "optimizer.rules": "(('b', 2), ('c', .5))", "parts.1.warmup": "90ep",
    "members.a.clip": "0.5", "members.a.window": "1,2", "optimizer.nesterov": "yes", "optimizer.widths": "()",
}


def test_a_value_of_the_wrong_type_in_the_file_itself_is_told():
  wrong = Tree(optimizer=Optimizer(warmup=3000))  # ty: ignore[invalid-argument-type]
  with pytest.raises(ConfigError, match=r"^optimizer.warmup=3000: expected duration, such as Duration\(10_000\)"):
    config.override(wrong, {})


def test_leaves_have_paths_types_and_docs():
  leaves = {leaf.path: leaf for leaf in config.leaves(Tree())}
  assert leaves["optimizer.rate"].doc == "step size, in units of nothing."
  assert config.type_name(leaves["parts.1.kind"].hint) == "one of sgd, adam"
  assert leaves["members.a.log_every"].detail and not leaves["members.a.rate"].detail
  assert "optimizer.paper" not in leaves


def test_override_reads_text_and_takes_values():
  tree = config.override(Tree(), {**CHANGES, "parts.0.rate": 2})
  assert tree.optimizer.rate == 3.0 and isinstance(tree.optimizer.rate, float)
  assert tree.optimizer.betas == (1.0, 2.0)
  assert tree.optimizer.rules == (("b", 2.0), ("c", 0.5))
  assert tree.parts[1] == Optimizer(rate=0.3, warmup=Duration(90, "ep"))
  assert tree.members["a"].clip == 0.5 and tree.optimizer.nesterov is True and tree.optimizer.widths == ()
  assert config.override(tree, {"members.a.clip": "None"}).members["a"].clip is None


def test_words_give_settings():
  assert config.from_words(Optimizer(), ["--rate=3", "--kind=adam"]) == Optimizer(rate=3.0, kind="adam")
  for word in ("rate=3", "--speed=3"):
    with pytest.raises(ConfigError, match=f"'{word}': settings are given as --name=value; there are betas, clip"):
      config.from_words(Optimizer(), [word])


@pytest.mark.parametrize(("path", "value", "words"), [
    ("optimizer.rat", "1", 'Did you mean "optimizer.rate"'),
    ("optimizer.betas", "1", "tuple of 2"),
    ("optimizer.betas", "1,2,3", "tuple of 2"),
    ("optimizer.kind", "adm", "one of sgd, adam"),
    ("optimizer.widths", "1,x", "tuple of int"),
    ("optimizer.warmup", "5 parsecs", "duration"),
    ("optimizer.nesterov", "maybe", "bool"),
    ("optimizer.rate", "fast", "float"),
    ("optimizer.rate", "-1", "at least 0"),
    ("optimizer.widths", 3, "tuple of int"),
    ("parts.7.rate", "1", "no setting"),
])
def test_a_mistake_is_one_line_that_names_what_is_allowed(path, value, words):
  with pytest.raises(ConfigError) as error:
    config.override(Tree(), {path: value})
  assert words in str(error.value) and "\n" not in str(error.value)


def test_json_round_trip_keeps_what_is_outside():
  tree = config.override(Tree(optimizer=Optimizer(paper="p")), CHANGES)
  again = config.from_json(json.loads(json.dumps(config.to_json(tree))), tree)
  assert again == tree and again.optimizer.paper == "p"


def test_hash_covers_what_differs_from_the_defaults_and_no_details():
  tree = Tree()
  assert config.config_hash(tree) == config.config_hash(config.override(tree, {"optimizer.log_every": 9}))
  changed = config.override(tree, {"optimizer.rate": 0.2})
  assert config.config_hash(tree) != config.config_hash(changed)
  assert config.differences(tree, changed) == ["optimizer.rate: 0.1 → 0.2"]

  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Grown(Optimizer):
    new: int = 7

  Grown.__qualname__ = "Optimizer"
  assert config.config_hash(Grown(rate=2.0)) == config.config_hash(Optimizer(rate=2.0))


@pytest.mark.parametrize(("text", "steps"), [
    ("10_000", 10_000), ("90ep", 90 * 31), ("1_000_000ex", 31_250), ("5%", 10), ("0", 0), ("0.1%", 1), ("2.5ep", 78)])
def test_durations_become_steps(text, steps):
  assert Duration.parse(text).steps(batch_size=32, steps_per_epoch=31, total=200) == steps
  assert Duration.parse(str(Duration.parse(text))) == Duration.parse(text)
