"""Memory of model and optimizer on one device when their state is split over the data-parallel devices (ZeRO)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study
from research.training.sharding import Sharding

_AXIS = "data"
# What is split over the devices: (parameters, moments).
STAGES = {"replicated": (P(), P()), "moments": (P(), P(_AXIS)), "all": (P(_AXIS), P(_AXIS))}


def zero_bytes(parameters: float, devices: int) -> dict[str, float]:
  """Bytes a device of mixed-precision Adam: 2 parameter, 2 gradient and 12 optimizer bytes each (ZeRO's formula)."""
  return {"baseline": 16 * parameters, "optimizer": 4 * parameters + 12 * parameters / devices,
          "gradients": 2 * parameters + 14 * parameters / devices, "parameters": 16 * parameters / devices}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZeroStateSharding(Study):
  """Compiles an Adam step of a chain of matrices and reads how many bytes of state each device holds.

  Attributes:
    num_devices: data-parallel devices.
    num_matrices: layers, each a square matrix.
    dim: its side; a multiple of num_devices.
    batch_size: rows; a multiple of num_devices.
    warm_steps: steps before the compared one. Adam's first steps divide a gradient by its own size, so that there
      rounding decides the sign of what is nearly 0.
    published_parameters: model of the published figures.
    published_devices: devices of the published figures.
  """

  num_devices: int = 8
  num_matrices: int = 4
  dim: int = 512
  batch_size: int = 64
  warm_steps: int = 20
  published_parameters: float = 7.5e9
  published_devices: int = 64

  def __post_init__(self):
    for name in ("dim", "batch_size"):
      if getattr(self, name) % self.num_devices:
        raise ValueError(f"{name}={getattr(self, name)} must be a multiple of num_devices={self.num_devices}")

  def _problem(self, seed: int):
    """Matrices and batch (inputs, targets)."""
    *keys, x_key, y_key = jax.random.split(jax.random.key(seed), self.num_matrices + 2)
    params = [jax.random.normal(key, (self.dim, self.dim)) / np.sqrt(self.dim) for key in keys]
    return params, [jax.random.normal(key, (self.batch_size, self.dim)) for key in (x_key, y_key)]

  def _loss(self, params, batch):
    x, y = batch
    for kernel in params:
      x = jnp.tanh(x @ kernel)
    return jnp.mean((x - y) ** 2)

  def objective(self, seed: int, data_dir=None):
    params, batch = self._problem(seed)
    return lambda params: self._loss(params, batch), params

  def measure(self, seed: int, parts: Parts) -> Findings:
    mesh = Sharding(data=self.num_devices).mesh(jax.devices()[:self.num_devices])
    optimizer = optax.adam(1e-3)
    params, batch = self._problem(seed)

    def step(params, state, batch):
      updates, state = optimizer.update(jax.grad(self._loss)(params, batch), state)
      return optax.apply_updates(params, updates), state

    warm = jax.jit(lambda *state: jax.lax.fori_loop(0, self.warm_steps, lambda _, state: step(*state, batch), state))
    params, state = warm(params, optimizer.init(params))
    expected = jax.jit(step)(params, state, batch)[0]

    def run(stage: str) -> list[float]:
      """MiB of parameters and moments a device, and the largest difference from one device's update."""
      of_params, of_moments = STAGES[stage]
      shard = lambda tree, spec: jax.device_put(tree, jax.tree.map(
          lambda leaf: NamedSharding(mesh, spec if leaf.ndim else P()), tree))
      inputs = shard(params, of_params), shard(state, of_moments), shard(batch, P(_AXIS))
      shardings = jax.tree.map(lambda leaf: leaf.sharding, inputs)
      compiled = jax.jit(step, out_shardings=shardings[:2]).lower(*inputs).compile()
      sizes = compiled.memory_analysis()
      assert sizes is not None, "the compiler tells no sizes"
      besides = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(inputs)
                    if leaf.shape != (self.dim, self.dim))  # the batch and Adam's counter
      update = [np.asarray(new) - np.asarray(old) for new, old in zip(compiled(*inputs)[0], params)]
      difference = max(np.max(np.abs(u - (e - p))) for u, e, p in zip(update, expected, params))
      return [(sizes.argument_size_in_bytes - besides) / 2**20, float(difference)]

    found = dict(zip(STAGES, parts.each("stage", list(STAGES), run)))
    published = {f"published_{stage}": size / 1e9
                 for stage, size in zero_bytes(self.published_parameters, self.published_devices).items()}
    return Findings(
        metrics={**published, **{f"{stage}_mib": mib for stage, (mib, _) in found.items()},
                 "update_difference": max(difference for _, difference in found.values())},
        figures=(
            Figure("State a device, measured", "split over the devices", "MiB", (
                Series(f"float32 Adam, {self.num_devices} devices", list(found), [mib for mib, _ in found.values()],
                       kind="bars"),),
                caption="Arguments of the compiled step on one device; the mark is an equal share of everything.",
                marks=(Mark("y", found["replicated"][0] / self.num_devices, "1/N of the whole"),)),
            Figure("State a device, the paper's formula", "split over the devices", "GB", (
                Series("mixed-precision Adam", ["nothing", "optimizer", "and gradients", "and parameters"],
                       list(published.values()), kind="bars"),),
                caption=f"{self.published_parameters:.3g} parameters on {self.published_devices} devices.")),
        notes=(f"Bytes of the program of XLA for {jax.default_backend()}, jax {jax.__version__}. Gradients live inside the "
               "step here, so the stage that splits only them is measured by no row.",))
