"""Where an explanation attaches to a network: at its floating-point inputs, or at the vectors of its tokens.

Images are explained by their pixels and speech by its features, as the transforms on the device leave them. Several views of an
image, whose answers are averaged, are one picture, one below the other. Tokens have no
derivative: of them the embedding's output is the input. It is found in the traced program as the rows that are looked up in a
table by numbers that come from the tokens, so that no network need be prepared for it, and tables that are shared with the last
layer stay what they are. Several texts (a source, what was written so far) are one input, one behind the other.

Shapes: B examples, N positions of all texts, D size of a token's vector (of the largest, the others padded with zeros).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.interpretation.rewriting import CALLS, Rewriting
from research.tasks.base import Task
from research.training.program import Network

Batch = Mapping[str, jax.Array]

# Operations that keep what a token's number means: its offset, its place.
_KEEPING = {"add", "sub", "select_n", "broadcast_in_dim", "reshape", "squeeze", "convert_element_type", "pad", "slice",
            "dynamic_slice", "concatenate", "copy", "clamp", "max", "min", "transpose", "expand_dims", "stop_gradient"}


@dataclasses.dataclass(frozen=True)
class Segment:
  """One text of the input.

  Attributes:
    feature: where its tokens come from.
    tokens: (B, T) as they are looked up, which may begin with a start token.
  """

  feature: str
  tokens: jax.Array


@dataclasses.dataclass(frozen=True)
class Attachment:
  """A network and what of a batch its answer is explained by. A batch is always one that the network sees (`Network.see`).

  Attributes:
    run: (params, buffers, batch) -> the outputs of the task.
    scores: the task's.
    features: the features that are explained: one of floating-point numbers, or texts.
    is_tokens: whether they are texts.
    views: of an example, each an image; 1 where the network reads the example itself.
  """

  run: Callable[[Any, Any, Batch], Any]
  scores: Callable[[Any, jax.Array], jax.Array]
  features: tuple[str, ...]
  is_tokens: bool
  views: int = 1

  def inputs(self, params, buffers, batch: Batch) -> jax.Array:
    """What scores are a function of: (B, ...), of views (B, V·H, W, C), or (B, N, D) of tokens."""
    if not self.is_tokens:
      x = batch[self.features[0]]
      return x.reshape(len(x), -1, *x.shape[3:]) if x.ndim == 5 else x
    vectors = [vectors for _, vectors in self._looked_up(params, buffers, batch)]
    width = max(v.shape[2] for v in vectors)
    return jnp.concatenate([jnp.pad(v, ((0, 0), (0, 0), (0, width - v.shape[2]))) for v in vectors], 1)

  def segments(self, params, buffers, batch: Batch) -> list[Segment]:
    """The texts in the order of the input's positions; none of other inputs."""
    return [segment for segment, _ in self._looked_up(params, buffers, batch)] if self.is_tokens else []

  def outputs(self, params, buffers, batch: Batch, x: jax.Array) -> Any:
    """The task's outputs with x in the place of `inputs`."""
    if not self.is_tokens:
      name = self.features[0]
      return self.run(params, buffers, {**batch, name: x.reshape(len(x), *batch[name].shape[1:])})
    place = 0

    def replace(eqn, inputs, bind):
      nonlocal place
      del inputs, bind
      _, length, width = eqn.outvars[0].aval.shape
      part = x[:, place:place + length, :width]
      place += length
      return [part.astype(eqn.outvars[0].aval.dtype)]

    return self._with_lookups(params, buffers, batch, replace)

  def score(self, params, buffers, batch: Batch, targets: jax.Array, against: jax.Array | None = None):
    """The score of `targets` (B, ...) less that of `against`, a function of the inputs of some copies of the batch."""
    def score(x):
      repeat = lambda y: jnp.tile(y, (len(x) // len(targets), *[1] * (y.ndim - 1)))
      outputs = self.outputs(params, buffers, jax.tree.map(repeat, dict(batch)), x)
      found = self.scores(outputs, repeat(targets))
      return found if against is None else found - self.scores(outputs, repeat(against))

    return score

  def _looked_up(self, params, buffers, batch) -> list[tuple[Segment, jax.Array]]:
    found = []

    def replace(eqn, inputs, bind):
      found.append((inputs[1][..., 0], bind()[0]))
      return [found[-1][1]]

    names: list[str] = []
    self._with_lookups(params, buffers, batch, replace, names)
    return [(Segment(name, tokens), vectors) for name, (tokens, vectors) in zip(names, found, strict=True)]

  def _with_lookups(self, params, buffers, batch, replace, names: list[str] | None = None):
    """The outputs with the tokens' vectors replaced; `names` receives the feature of each."""
    args = (params, buffers, dict(batch))
    closed, shapes = jax.make_jaxpr(self.run, return_shape=True)(*args)
    paths = [path for path, _ in jax.tree.leaves_with_path(args)]
    name_of = lambda path: path[1].key if path[0].idx == 2 and path[1].key in self.features else None
    looked_up: dict[int, str] = {}
    _follow(closed.jaxpr, list(map(name_of, paths)), looked_up)
    if missing := set(self.features) - set(looked_up.values()):
      raise ConfigError(f"explain: {', '.join(sorted(missing))}: these integers are looked up in no table, so that nothing can "
                        "be explained by them")
    if names is not None:
      names += looked_up.values()
    rewriting = Rewriting(name="lookup of tokens", replace=replace,
                          wanted=lambda jaxpr: {i for i, eqn in enumerate(jaxpr.eqns) if id(eqn) in looked_up})
    return jax.tree.unflatten(jax.tree.structure(shapes), rewriting.run(closed, jax.tree.leaves(args)))


def attach(network: Network, task: Task, batch: Mapping[str, jax.ShapeDtypeStruct]) -> Attachment:
  """Finds what a network's answers can be explained by.

  Args:
    network: the network.
    task: what it was trained for.
    batch: one batch as the network sees it, or its shapes.

  Raises:
    ConfigError: its inputs are of a kind that cannot be explained.
  """
  spec = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
  given = jax.tree.leaves(task.network_inputs(spec))
  of = lambda x: [name for name, its in spec.items() if its is x or _views(its, x)]
  names = [name for x in given for name in of(x)]
  floating = [name for name in names if jnp.issubdtype(spec[name].dtype, jnp.floating)]
  if len(names) != len(given) or len(floating) > 1:
    raise ConfigError("explain: can be explained by one array of numbers, or by texts; the network reads "
                      f"{', '.join(names) or 'what is no feature of a batch'}")
  run = functools.partial(_forward, network, task)
  views = max(1, *(_views(spec[name], x) for x, name in zip(given, names, strict=True)))
  return Attachment(run, task.scores, tuple(floating or names), is_tokens=not floating, views=views)


def _views(its, x) -> int:
  """How many images an example's feature (B, V, H, W, C) is, where the network is called with one (B, H, W, C); else 0."""
  return its.shape[1] if len(its.shape) == 5 and (its.shape[0], *its.shape[2:]) == x.shape else 0


def _forward(network: Network, task: Task, params, buffers, batch: Batch):
  return task.forward(network.bind(params, buffers), batch, None)


def _follow(jaxpr, names: list[str | None], looked_up: dict[int, str]) -> list[str | None]:
  """Fills in, by id, the operations that look up rows by a feature's tokens. names: the feature each input is the tokens of."""
  known = {v: name for v, name in zip(jaxpr.invars, names, strict=True) if name}
  of = lambda v: None if hasattr(v, "val") else known.get(v)
  for eqn in jaxpr.eqns:
    its = [of(v) for v in eqn.invars]
    name = next(filter(None, its), None)
    if name is None:
      continue
    if eqn.primitive.name == "gather" and its[1] and not its[0] and _takes_rows(eqn):
      looked_up[id(eqn)] = name
    elif eqn.primitive.name in CALLS:
      inner = eqn.params["call_jaxpr" if "call_jaxpr" in eqn.params else "jaxpr"]
      known.update((v, n) for v, n in zip(eqn.outvars, _follow(inner.jaxpr, its, looked_up)) if n)
    elif eqn.primitive.name in _KEEPING:
      known[eqn.outvars[0]] = name
  return [of(v) for v in jaxpr.outvars]


def _takes_rows(eqn) -> bool:
  """Whether whole rows of a table are taken, to (B, T, D)."""
  table, out = eqn.invars[0].aval, eqn.outvars[0].aval
  return (table.ndim == 2 and out.ndim == 3 and jnp.issubdtype(table.dtype, jnp.floating)
          and tuple(eqn.params["slice_sizes"]) == (1, table.shape[1]))
