"""What is explained: some examples, the answers of a network to them, and the explainer that is put to these.

Shapes: E examples, Q answers of each at most, R answers in all, B answers at a time.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.interpretation import attribution
from research.interpretation.attachment import attach
from research.interpretation.memory import copies_within
from research.interpretation.methods import Explainer
from research.interpretation.probing import Case, Probe, Weights
from research.interpretation.settings import Explain
from research.interpretation.units import units_of
from research.tasks.base import Task
from research.training.program import Network

_AT_A_TIME = 8  # answers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
  """Examples and their answers.

  Attributes:
    explainer: of the network.
    weights: its parameters and buffers.
    seen: the examples as the network sees them, (E, ...) each.
    targets, against: of the answers, (E, Q, ...); `against` may be None.
    rows: (example, answer) of each that is explained: the first answers of all examples, then the second ones.
    size: B.
    segments: (name, tokens (E, T)) of each text that the input consists of; [] of other inputs.
    inputs: (E, ...) what the explanations are of.
  """

  explainer: Explainer
  weights: Weights
  seen: dict[str, jax.Array]
  targets: np.ndarray
  against: np.ndarray | None
  rows: list[tuple[int, int]]
  size: int
  segments: list[tuple[str, np.ndarray]]
  inputs: np.ndarray

  @property
  def num_batches(self) -> int:
    return -(-len(self.rows) // self.size)

  def rows_of(self, batch: int) -> list[tuple[int, int]]:
    """The answers of a batch; the last one is filled up with the very last answer."""
    rows = self.rows[batch * self.size:(batch + 1) * self.size]
    return rows + rows[-1:] * (self.size - len(rows))

  def case(self, batch: int) -> Case:
    return self._case(self.rows_of(batch))

  def _case(self, rows: list[tuple[int, int]]) -> Case:
    example, answer = (np.array(part) for part in zip(*rows))
    take = lambda part: jnp.asarray(part[example, answer])
    x = self.inputs[example]
    baseline = np.zeros((), np.float32)
    if self.explainer.settings.baseline == "mean":
      places = tuple(range(1, 1 + len(self.explainer.probe.units.places)))
      baseline = x.mean(places, keepdims=True)
    contrast = self.explainer.settings.contrast and self.against is not None
    return Case({name: value[example] for name, value in self.seen.items()}, take(self.targets),
                take(self.against) if contrast else None, jnp.asarray(baseline, x.dtype), jnp.zeros(x.shape, x.dtype))


def subject(network: Network, task: Task, weights: Weights, batch: Mapping[str, Any], settings: Explain,
            write: Callable[[Any, Any], Any] | None, between: Callable[[], None]) -> Subject:
  """Lets the network answer, and prepares to explain what it answers.

  Args:
    network, task, weights: what is explained.
    batch: the examples as they are loaded, (E, ...).
    settings: of the explanation.
    write: (batch, the batch as the network sees it) -> the latter with what the network writes as its targets; None for tasks
      that do not write.
    between: called before each call of the network; may raise to break off.

  Raises:
    ConfigError: the inputs are of a kind that cannot be explained, or there are no answers.
  """
  seen = dict(jax.jit(network.see)(batch))
  if write is not None:
    seen = dict(write(batch, seen))
  attachment = attach(network, task, seen)

  @jax.jit
  def answer(weights, seen):
    tokens = [segment.tokens for segment in attachment.segments(*weights, seen)]
    return task.questions(attachment.run(*weights, seen), seen), attachment.inputs(*weights, seen), tokens

  (targets, against), x, tokens = jax.device_get(answer(weights, seen))
  is_real = (targets.reshape(*targets.shape[:2], -1) >= 0).any(2)
  chosen = [np.unique(np.linspace(0, len(real) - 1, min(settings.answers, len(real))).astype(int)) for real in
            map(np.flatnonzero, is_real) if len(real)]
  numbers = [np.flatnonzero(real) for real in is_real if real.any()]
  examples = np.flatnonzero(is_real.any(1))
  rows = [(int(e), int(its[picked[q]])) for q in range(settings.answers)
          for e, its, picked in zip(examples, numbers, chosen) if q < len(picked)]
  if not rows:
    raise ConfigError("explain: the network says nothing of these examples: there is no answer to explain")
  lengths = tuple(its.shape[1] for its in tokens)
  units = units_of(x.shape, attachment.is_tokens, settings.cells, attachment.views)
  budget = settings.memory_mib << 20
  probe = Probe(attachment, units, budget, between)
  names = attachment.features if len(attachment.features) == len(tokens) else [f"text {i + 1}" for i in range(len(tokens))]
  made = Subject(explainer=Explainer(probe, settings, lengths), weights=weights, seen=seen, targets=targets, against=against,
                 rows=rows, size=1, segments=list(zip(names, tokens)), inputs=x)
  one = made._case(rows[:1])
  size = copies_within(lambda x: attribution.gradient(probe.score(weights, one), x), jnp.asarray(x[:1]), budget,
                       min(_AT_A_TIME, len(rows)))
  return dataclasses.replace(made, size=size)
