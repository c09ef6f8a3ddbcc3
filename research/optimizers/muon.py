"""Muon."""

import dataclasses
import math
from typing import Literal

import jax
import optax
from optax import contrib

from research import rules
from research.config import ConfigError
from research.optimizers.adam import check_betas
from research.optimizers.base import DecoupledDecay

Kind = Literal["dense", "conv", "adam"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(DecoupledDecay):
  """Muon (Jordan et al. 2024): the momentum of a matrix, made nearly orthogonal by a Newton-Schulz iteration.

  Its direction is scaled by sqrt(max(1, outputs/inputs)). What is no matrix, and embeddings and the head, use Adam;
  give those their own rate by learning_rate_rules.

  Attributes:
    momentum: decay of the momentum; Nesterov's form.
    kinds: (regex, kind). "dense": the last two dimensions are inputs and outputs, those before count layers; "conv":
      all dimensions but the last are inputs; "adam": Adam instead.
    b1: Adam's first decay.
    b2: Adam's second decay.
  """

  momentum: float = 0.95
  kinds: tuple[tuple[str, Kind], ...] = (("(?!.*(head|embedding)).*kernel", "dense"), (".*", "adam"))
  b1: float = 0.9
  b2: float = 0.999

  def __post_init__(self):
    super().__post_init__()
    rules.check(self.kinds)
    check_betas(self.b1, self.b2)

  def direction(self, params):
    kinds = rules.by_path(self.kinds, params)
    flat = [path for path, leaf in rules.paths(params).items() if kinds[path] != "adam" and leaf.ndim < 2]
    if flat:
      raise ConfigError(f"kinds: {flat[0]} is no matrix; give it the kind 'adam'")
    # A function of the updates, since frozen parameters and Adam's are cut out of those by then.
    numbers = lambda updates: jax.tree.map_with_path(
        lambda path, u: _dimensions(kinds[rules.join(path)], u.ndim), updates)
    widths = optax.stateless(lambda updates, _: jax.tree.map_with_path(
        lambda path, u: _width_factor(kinds[rules.join(path)], u.shape) * u, updates))
    muon = optax.chain(contrib.scale_by_muon(beta=self.momentum, weight_dimension_numbers=numbers), widths)
    labels = lambda tree: jax.tree.map_with_path(
        lambda path, _: "adam" if kinds[rules.join(path)] == "adam" else "muon", tree)
    both = optax.partition({"muon": muon, "adam": optax.scale_by_adam(self.b1, self.b2)}, labels)
    return optax.chain(both, self.decay(params))


def _dimensions(kind: Kind, ndim: int) -> contrib.MuonDimensionNumbers:
  inputs = (ndim - 2,) if kind == "dense" else tuple(range(ndim - 1))
  return contrib.MuonDimensionNumbers(reduction_axis=inputs, output_axis=(ndim - 1,))


def _width_factor(kind: Kind, shape: tuple[int, ...]) -> float:
  inputs = shape[-2] if kind == "dense" else math.prod(shape[:-1])
  return math.sqrt(max(1, shape[-1] / inputs))
