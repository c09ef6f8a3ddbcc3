"""An experiment's own training step compiled for devices that need not be there, and what that tells."""

import dataclasses
import math
import os
import re
import time
from typing import Any

import jax
import numpy as np

from research import flops, process
from research.config import ConfigError
from research.data.dataset import Data, Opened
from research.data.declared import Declared, declared
from research.data.examples import DataError
from research.planning import calibration, hlo, scaling, topologies
from research.planning.devices import CHIPS, Device
from research.training import program

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
  """What is known of a step on a device, before prices; JSON values.

  Bytes are of one device, FLOPs of all of them together.

  Attributes:
    device: its name.
    devices: how many jax devices the mesh has; others are idle.
    kind: what jax calls them.
    precision: of the products.
    mesh: sizes of its axes.
    batch_size: examples of a step.
    num_parameters: of the network.
    flops: of a step's products and convolutions; of the largest batch where there are several shapes.
    mean_share: of these, what a step has in the mean over the shapes of batches.
    elementwise: of its other arithmetic.
    notes: what could not be counted.
    fits: whether the compiler accepts it.
    capacity: bytes that it may use, where it says so or the device does.
    peak: bytes at the highest; what it would need where it does not fit.
    holds: what fills them, by name.
    products, others: bytes moved for products and for all else.
    collectives: by kind, {count, bytes, wire}.
    wire, hidden: bytes that leave the device, and those of them beside which other work goes on.
    compile_seconds: how long the compiler took.
    rates: measured on a device that is here (see calibration), and `step`, seconds of a mean one, where steps were tried.
    input_seconds: of a core of this host, to read and prepare a batch; NaN where the data are not here.
    cores: of this host, that this process may use.
    batch_bytes: of a batch, over all devices.
    state_bytes: of a checkpoint.
    num_checkpoints: that are kept.
    total_steps, num_examples, eval_examples, num_evaluations: of the run.
    data_bytes: of the data on disk; NaN where nobody says.
    declared: why the data were not read, "" if they were.
    tokens: of a step, where a law of loss against them speaks of the run: the task counts them, and nothing was trained
      before; 0 elsewhere.
    token: what a token is.
  """

  device: str
  devices: int
  kind: str
  precision: str
  mesh: dict[str, int]
  batch_size: int
  num_parameters: int
  flops: float
  mean_share: float
  elementwise: float
  notes: tuple[str, ...]
  fits: bool
  capacity: float
  peak: float
  holds: dict[str, float]
  products: float = math.nan
  others: float = math.nan
  collectives: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
  wire: float = 0.0
  hidden: float = 0.0
  compile_seconds: float
  rates: dict[str, float] = dataclasses.field(default_factory=dict)
  input_seconds: float = math.nan
  cores: int = 1
  batch_bytes: float
  state_bytes: float
  num_checkpoints: int
  total_steps: int
  num_examples: int
  eval_examples: int
  num_evaluations: int
  data_bytes: float
  declared: str
  tokens: int = 0
  token: str = ""


def read(values: Any) -> Compiled:
  """The same from its JSON values."""
  step = Compiled(**values)
  return dataclasses.replace(step, notes=tuple(step.notes))


def opened(data: Data, data_dir) -> tuple[Data, Opened, str]:
  """The data open, or zeros in their published form and why. Raises DataError where they are needed and not there."""
  try:
    return data, data.open(data_dir), ""
  except DataError as error:
    data = declared(data, error)
    return data, data.open(None), str(error)


def capacity(device: Device, mesh: jax.sharding.Mesh) -> float:
  """Bytes that one of its devices may use: of a CPU the host's memory, shared by those it simulates."""
  first = mesh.devices.flat[0]
  if first.platform == "cpu":
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / mesh.devices.size
  return CHIPS[device.chip].memory if device.chip else float((first.memory_stats() or {}).get("bytes_limit", math.nan))


def compile_step(experiment: Any, device: Device, data_dir) -> Compiled:
  """Compiles the step of an experiment for a device.

  Args:
    experiment: has data, task, model, optimizer, training and length(opened).
    device: what for.
    data_dir: where data lie; without them published sizes stand in (research/data/declared.py).

  Raises:
    ConfigError: the experiment does not fit the number of devices; no such slice; nothing is trained.
    DataError: the data are needed and not there.
  """
  training = experiment.training
  data, its, why = opened(experiment.data, data_dir)
  if its.train is None:
    raise ConfigError("this experiment trains nothing: there is no step to plan")
  if why:
    experiment = dataclasses.replace(experiment, data=data)
  mesh = training.sharding.mesh(topologies.devices(device))
  pieces = mesh.shape["data"] * mesh.shape["fsdp"]
  if data.batch_size % (pieces * training.num_microbatches):
    raise ConfigError(f"data.batch_size={data.batch_size} must be a multiple of {pieces} devices that share batches x "
                      f"training.num_microbatches={training.num_microbatches}")
  length = experiment.length(its)
  made = program.build(model=experiment.model, task=experiment.task, optimizer=experiment.optimizer, training=training,
                       specs=data.specs(its), length=length, mesh=mesh, on_device=data.on_device)
  traced = [made.step.trace(made.abstract, batch) for batch in made.batches]
  counts = [flops.count_jaxpr(t.jaxpr) for t in traced]
  shares = _shares(data, its, len(traced))
  chunk = training.steps_per_call
  schedule = training.schedule(batch_size=length.batch_size, steps_per_epoch=length.steps_per_epoch)
  state, batch, notes = made.abstract, made.batches[-1], counts[-1].notes
  counts_tokens = scaling.speaks_of(experiment)
  if getattr(experiment.task, "writing", None) is not None:
    notes = (*notes, "what evaluations write, token by token")
  holds = {"parameters": _held(state.params), "optimizer": _held(state.optimizer), "moving average": _held(state.average),
           "buffers": _held(state.buffers), "batch": _held(batch)}
  step = Compiled(
      device=device.name, devices=mesh.devices.size, kind=mesh.devices.flat[0].device_kind, precision=training.precision,
      mesh=dict(mesh.shape), batch_size=data.batch_size, num_parameters=sum(p.size for p in jax.tree.leaves(state.params)),
      flops=counts[-1].total / chunk, elementwise=counts[-1].elementwise / chunk,
      mean_share=float(shares @ [c.total for c in counts]) / counts[-1].total if counts[-1].total else 1.0, notes=notes,
      batch_bytes=sum(map(_bytes, jax.tree.leaves(batch))) / chunk,
      state_bytes=sum(map(_bytes, jax.tree.leaves(state))),
      num_checkpoints=training.keep_last + (training.keep_best if training.best_metric else 0),
      total_steps=schedule.total, num_examples=len(its.train), eval_examples=sum(map(len, its.evaluation.values())),
      num_evaluations=schedule.total // schedule.evaluate if schedule.evaluate else 1,
      data_bytes=_data_bytes(data, data_dir), declared=why, holds={name: size for name, size in holds.items() if size},
      tokens=experiment.task.tokens_in(data.spec(its)) if counts_tokens else 0,
      token=experiment.task.token if counts_tokens else "",
      input_seconds=math.nan if why else calibration.input_seconds(data, its), cores=process.cores(),
      fits=False, peak=math.inf, capacity=capacity(device, mesh), compile_seconds=0.0)
  begin = time.monotonic()
  try:
    compiled = traced[-1].lower().compile()
  except Exception as error:  # each plugin has a class of its own
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    needed, allowed = refused(str(error))
    return dataclasses.replace(step, peak=needed, capacity=allowed or step.capacity, compile_seconds=time.monotonic() - begin)
  seconds = time.monotonic() - begin
  moved, peak = hlo.traffic(compiled.as_text()), peak_bytes(compiled.memory_analysis(), mesh)
  rest = {"activations, gradients, temporaries": max(0.0, peak - sum(step.holds.values()))}
  fits, here = not peak > step.capacity, not device.chip or CHIPS[device.chip].platform == "cpu"
  rates = calibration.rates() if here and fits else {}
  if rates and step.flops * chunk / rates["flops"] < calibration.LONGEST:
    steps = [*(t.lower().compile() for t in traced[:-1]), compiled]
    rates["step"] = float(shares @ calibration.trials(made, steps)) / chunk
  return dataclasses.replace(
      step, fits=fits, peak=peak, holds={**step.holds, **rest}, compile_seconds=seconds,
      products=moved.products / chunk, others=moved.others / chunk, wire=moved.wire / chunk, hidden=moved.hidden / chunk,
      collectives={kind: {k: v / chunk for k, v in dataclasses.asdict(c).items()} for kind, c in moved.collectives.items()},
      rates=rates)


def peak_bytes(memory: Any, mesh: jax.sharding.Mesh) -> float:
  """The most that a compiled program holds on a device, from its memory_analysis().

  On TPUs and GPUs the buffers' real lifetimes are in it. On CPUs jax's own figure leaves the arguments out; there all
  temporaries are one block, so that it is the sum.
  """
  if mesh.devices.flat[0].platform != "cpu":
    return float(memory.peak_memory_in_bytes)
  return float(memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
               + memory.temp_size_in_bytes)


def _bytes(x) -> float:
  return math.prod(x.shape) * x.dtype.itemsize


def _held(tree) -> float:
  """Bytes on one device."""
  return float(sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)))


def _shares(data: Data, its: Opened, num: int) -> np.ndarray:
  """How often a training batch has each of the shapes (num,), which sums to 1; all have the largest where nobody knows."""
  if data.buckets is None or its.bucket is None:
    return np.eye(num)[-1]
  rows = np.array(data.buckets.rows(data.batch_size))
  steps = np.bincount(its.bucket[its.bucket >= 0], minlength=len(rows)) / rows
  return steps / steps.sum()


def _data_bytes(data: Data, data_dir) -> float:
  total, seen = 0.0, set()
  for source in filter(None, (data.train, *data.evaluation.values())):
    if isinstance(source, Declared):
      total += source.gigabytes * 1e9 if source is data.train else 0.0
      continue
    try:
      files = source.files(data_dir)
    except TypeError:  # generated
      continue
    for file in files:
      if file in seen:
        continue
      seen.add(file)
      sizes = re.findall(r'"numBytes": "(\d+)"', file.read_text()) if file.name == "dataset_info.json" else [file.stat().length]
      total += sum(map(int, sizes))
  return total


def refused(message: str) -> tuple[float, float | None]:
  """What a program needs and what there is, from the compiler's words; infinite and None where it does not say."""
  found = re.search(r"\(?([\d.]+)([KMGT])i?B?\)? exceeds available \w+ \(?([\d.]+)([KMGT])", message) or re.search(
      r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT])", message)
  return (math.inf, None) if found is None else (float(found[1]) * _UNITS[found[2]], float(found[3]) * _UNITS[found[4]])
