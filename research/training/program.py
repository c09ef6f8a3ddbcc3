"""What is compiled for a training run: from configurations to functions on a mesh of devices.

Nothing here needs the devices to be there: the mesh may be one of a topology that is only described, and the state's
arrays stay abstract until `create` is called.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from research.optimizers.schedule import Length
from research.tasks.base import Task
from research.training import state as states
from research.training.precision import Precision
from research.training.settings import Training
from research.training.sharding import batch_sharding, replicated, state_shardings
from research.training.state import TrainState
from research.training.step import make_step


@dataclasses.dataclass(frozen=True)
class Program:
  """The pieces of a run.

  Attributes:
    mesh: the devices.
    statistics: (params, buffers, batch) -> {metric: rows (B, k)}, without randomness.
    abstract: the state's shapes, types and shardings.
    create: key -> state, made where it will live.
    step: (state, batch) -> state, `steps_per_call` steps; the state is donated.
    batch: abstract batch that `step` takes, with shardings.
    fresh_window: makes the zeros of a log window.
  """

  mesh: Mesh
  statistics: Callable
  abstract: TrainState
  create: Callable
  step: Any
  batch: dict
  fresh_window: Any


def build(*, model, task: Task, optimizer, training: Training, spec: dict, length: Length, mesh: Mesh) -> Program:
  """Assembles a run.

  Args:
    model: the network's configuration.
    task: what is learned.
    optimizer: the optimizer's configuration.
    training: settings.
    spec: one batch as ShapeDtypeStructs, over all devices.
    length: the run's length, for schedules.
    mesh: devices.
  """
  precision = Precision(training.precision)
  construct = lambda rngs: model.build(spec["inputs"], task.num_outputs, rngs)
  definition, params, buffers = jax.eval_shape(lambda: states.split(construct(nnx.Rngs(0))))
  transformation = optimizer.build(params, length)

  def statistics(params, buffers, batch):
    model = states.merge(definition, precision.cast(params), buffers)
    return task.statistics(task.forward(model, precision.cast(batch), None), batch)

  widths = {name: rows.shape[1] for name, rows in jax.eval_shape(statistics, params, buffers, spec).items()}

  def create(key):
    return states.create(construct, transformation, key, averaged=bool(training.average_decay), window=widths)

  abstract = jax.eval_shape(create, jax.random.key(0))
  shardings = state_shardings(mesh, abstract, training.sharding.rules)
  step = make_step(task, definition, transformation, precision, num_microbatches=training.num_microbatches,
                   average_decay=training.average_decay)
  chunked = training.steps_per_call > 1
  whole_step = step
  if chunked:
    whole_step = lambda state, batches: jax.lax.scan(lambda s, b: (step(s, b), None), state, batches)[0]
    spec = jax.tree.map(lambda s: jax.ShapeDtypeStruct((training.steps_per_call, *s.shape), s.dtype), spec)
  place = batch_sharding(mesh, chunked=chunked)
  fresh = jax.jit(lambda: states.fresh_window(widths), out_shardings=replicated(mesh))
  return Program(
      mesh, statistics,
      abstract=jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, shardings),
      create=jax.jit(create, out_shardings=shardings),
      step=jax.jit(whole_step, donate_argnums=0, out_shardings=shardings),
      batch=jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place), spec),
      fresh_window=fresh)

