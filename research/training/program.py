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

from research.augmentation import base as augmentation
from research.augmentation.base import OnDevice
from research.optimizers.schedule import Length
from research.tasks.base import Task
from research.training import state as states
from research.training.precision import Format, Precision
from research.training.settings import Training
from research.training.sharding import batch_sharding, replicated, state_shardings
from research.training.state import TrainState
from research.training.step import make_step


@dataclasses.dataclass(frozen=True)
class Network:
  """A network and what it is asked for, before anything is known of training.

  Attributes:
    construct: rngs -> module.
    bind: (params, buffers) -> module, in the precision of the computation.
    see: batch -> the batch as the network sees it in an evaluation, in the same precision.
    params, buffers: abstract, as plain trees.
    forward: (params, buffers, batch, key) -> (outputs, the batch as the network saw it, buffers after it); key None for
      evaluation.
    rows: the same arguments -> ({metric: rows (B, k)}, buffers after it).
  """

  construct: Callable[[nnx.Rngs], nnx.Module]
  bind: Callable
  see: Callable
  params: Any
  buffers: Any
  forward: Callable
  rows: Callable


def network(*, model, task: Task, on_device: tuple[OnDevice, ...], spec: dict, precision: Format) -> Network:
  """Puts transforms on the device, network and task in a row.

  Args:
    model: the network's configuration.
    task: what is learned.
    on_device: what is done to a batch before the network sees it.
    spec: one batch as ShapeDtypeStructs, over all devices.
    precision: of the computation.
  """
  policy = Precision(precision)
  seen = jax.eval_shape(lambda batch: augmentation.apply(on_device, batch, None), spec)
  construct = lambda rngs: model.build(task.network_inputs(seen), task.num_outputs, rngs)
  definition, params, buffers = jax.eval_shape(lambda: states.split(construct(nnx.Rngs(0))))

  merged = getattr(model, "merged", lambda params: params)
  bind = lambda params, buffers: states.merge(definition, policy.cast(merged(params)), buffers)
  see = lambda batch: policy.cast(augmentation.apply(on_device, batch, None))

  def forward(params, buffers, batch, key):
    module = bind(params, buffers)
    batch = augmentation.apply(on_device, batch, key)
    outputs = task.forward(module, policy.cast(batch), key)
    return outputs, batch, states.split(module)[2]

  def rows(params, buffers, batch, key):
    outputs, batch, buffers = forward(params, buffers, batch, key)
    return task.statistics(outputs, batch, training=key is not None), buffers

  return Network(construct, bind, see, params, buffers, forward, rows)


@dataclasses.dataclass(frozen=True)
class Program:
  """The pieces of a run.

  Attributes:
    mesh: the devices.
    network: what is trained.
    abstract: the state's shapes, types and shardings.
    create: key -> state, made where it will live.
    step: (state, batch) -> state, `steps_per_call` steps; the state is donated.
    batches: the abstract batches that `step` takes, with shardings: one for each shape, the largest last.
    fresh_window: makes the zeros of a log window.
  """

  mesh: Mesh
  network: Network
  abstract: TrainState
  create: Callable
  step: Any
  batches: tuple[dict, ...]
  fresh_window: Any


def build(*, model, task: Task, optimizer, training: Training, specs: tuple[dict, ...], length: Length, mesh: Mesh,
          on_device: tuple[OnDevice, ...] = ()) -> Program:
  """Assembles a run.

  Args:
    model, task, on_device: see `network`.
    specs: the batches, one for each shape, the largest last.
    optimizer: the optimizer's configuration.
    training: settings.
    length: the run's length, for schedules.
    mesh: devices.
  """
  net = network(model=model, task=task, on_device=on_device, spec=specs[-1], precision=training.precision)
  transformation = optimizer.build(net.params, length)
  shapes, _ = jax.eval_shape(lambda *args: net.rows(*args, None), net.params, net.buffers, specs[-1])
  widths = {name: rows.shape[1] for name, rows in shapes.items()}

  def create(key):
    return states.create(net.construct, transformation, key, averaged=bool(training.average_decay), window=widths)

  abstract = jax.eval_shape(create, jax.random.key(0))
  shardings = state_shardings(mesh, abstract, training.sharding.rules)
  step = make_step(net.rows, transformation, optimizer.trained(net.params), num_microbatches=training.num_microbatches,
                   average_decay=training.average_decay)
  chunked = training.steps_per_call > 1
  whole_step = step
  if chunked:
    whole_step = lambda state, batches: jax.lax.scan(lambda s, b: (step(s, b), None), state, batches)[0]
    specs = jax.tree.map(lambda s: jax.ShapeDtypeStruct((training.steps_per_call, *s.shape), s.dtype), specs)
  place = batch_sharding(mesh, chunked=chunked)
  fresh = jax.jit(lambda: states.fresh_window(widths), out_shardings=replicated(mesh))
  return Program(
      mesh, net,
      abstract=jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, shardings),
      create=jax.jit(create, out_shardings=shardings),
      step=jax.jit(whole_step, donate_argnums=0, out_shardings=shardings),
      batches=jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place), specs),
      fresh_window=fresh)
