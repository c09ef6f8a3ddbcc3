"""Where arrays live: a mesh of devices, and rules from parameter paths to mesh axes.

Models know nothing of this. The mesh always has the axes `data` (batches), `fsdp` (batches, and parameters cut in pieces)
and `tensor` (layers cut in pieces); on one device all three have size 1 and every rule means "whole".
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from research import rules
from research.config import ConfigError

AXES = ("data", "fsdp", "tensor")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sharding:
  """How devices share the work.

  Attributes:
    data: groups of devices that hold the same parameters and see different examples; -1 takes all that are left, a number
      leaves the others idle.
    fsdp: devices over which each parameter is cut, and batches too.
    tensor: devices over which single layers are cut.
    rules: (regex over a parameter's path, axes) in order. Axes are one word a dimension, "-" for whole, as in "-,tensor";
      "whole"; or "fsdp", which cuts the longest dimension that divides evenly.
  """

  data: int = -1
  fsdp: int = 1
  tensor: int = 1
  rules: tuple[tuple[str, str], ...] = ((".*", "fsdp"),)

  def __post_init__(self):
    if (self.data < 1 and self.data != -1) or min(self.fsdp, self.tensor) < 1:
      raise ConfigError("sharding: axis sizes are at least 1 (data also -1, for the rest)")
    for pattern, axes in self.rules:
      if axes != "whole" and not set(axes.split(",")) <= {*AXES, "-"}:
        raise ConfigError(f"sharding.rules: {pattern!r} maps to {axes!r}; allowed are 'whole', 'fsdp' and lists of {AXES}, '-'")

  def mesh(self, devices=None) -> Mesh:
    """The mesh over all devices (or those given). Raises ConfigError if the sizes do not fit their number."""
    devices = np.asarray(jax.devices() if devices is None else devices)
    rest = self.fsdp * self.tensor
    data = devices.size // rest if self.data == -1 else self.data
    if self.data != -1 and jax.process_count() == 1:
      devices = devices.ravel()[:data * rest]
    if data * rest != devices.size:
      raise ConfigError(f"sharding: data {self.data} x fsdp {self.fsdp} x tensor {self.tensor} does not fit "
                        f"{devices.size} devices")
    shape, types = (data, self.fsdp, self.tensor), (AxisType.Auto,) * 3
    if devices.flat[0].platform == "tpu":  # neighbours on the mesh should be neighbours on the chip's network
      return jax.make_mesh(shape, AXES, axis_types=types, devices=devices.ravel().tolist())
    return Mesh(devices.reshape(shape), AXES, axis_types=types)


def batch_sharding(mesh: Mesh, *, chunked: bool = False) -> NamedSharding:
  """Examples are spread over data and fsdp; a chunk of several batches has the step as its first dimension."""
  return NamedSharding(mesh, P(None, ("data", "fsdp")) if chunked else P(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, P())


def parameter_shardings(mesh: Mesh, params: Any, axes_rules) -> Any:
  """A NamedSharding for each parameter (abstract ones will do), by the first rule that matches its path."""
  words = rules.apply(axes_rules, params)
  return jax.tree.map(lambda p, w: NamedSharding(mesh, _spec(mesh, p.shape, w)), params, words)


def _spec(mesh: Mesh, shape: tuple[int, ...], words: str) -> P:
  if words == "whole":
    return P()
  if words == "fsdp":
    size = mesh.shape["fsdp"]
    fitting = [d for d in range(len(shape)) if shape[d] % size == 0 and shape[d] >= size]
    longest = max(fitting, key=lambda d: shape[d], default=None)
    return P(*("fsdp" if d == longest else None for d in range(len(shape)))) if size > 1 and longest is not None else P()
  axes = [None if w == "-" else w for w in words.split(",")]
  if len(axes) != len(shape) or any(a and n % mesh.shape[a] for a, n in zip(axes, shape)):
    raise ConfigError(f"sharding.rules: {words!r} does not fit a parameter of shape {shape} on the mesh {dict(mesh.shape)}")
  return P(*axes)


def state_shardings(mesh: Mesh, state: Any, axes_rules) -> Any:
  """Shardings for a whole TrainState: what has a parameter's path and shape lies as that parameter does, the rest whole.

  Optax keeps its moments in trees of the parameters' structure, so a moment's path ends in its parameter's path.
  """
  flat = rules.paths(parameter_shardings(mesh, state.params, axes_rules))
  shapes = {path: leaf.shape for path, leaf in rules.paths(state.params).items()}
  whole = replicated(mesh)

  def of(path: str, leaf):
    parts = path.split("/")
    tails = ("/".join(parts[i:]) for i in range(1, len(parts)))
    owner = next((t for t in tails if shapes.get(t) == leaf.shape), None)
    return flat[owner] if owner and math.prod(leaf.shape) > 1 else whole

  leaves = {path: of(path, leaf) for path, leaf in rules.paths(state).items()}
  return jax.tree.unflatten(jax.tree.structure(state), list(leaves.values()))
