"""What the framework costs: its training loop against a bare hand-written jax.jit loop of the same network.

    python tests/benchmarks/overhead.py

A 24-layer MLP with AdamW at two sizes, a step of about 0.5 ms and one of about 5 ms. Both loops run in one process, turn by
turn, on the same data in memory; the framework's side includes its input pipeline, metrics, gradient norm, log lines,
summaries and a checkpoint a turn. Prints the median ratio over the turns, and the processor.
"""

import contextlib
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from research import process

process.tune_allocator()

import dataclasses

import jax
import numpy as np
import optax
from etils import epath
from flax import nnx

from research import records
from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.experiment import Experiment
from research.fit import Fit
from research.models import mlp
from research.optimizers.adamw import AdamW
from research.tasks.classification import Classification
from research.training import loop
from research.training.interruption import Interruption
from research.training.progress import Progress
from research.training.settings import Training
from research.training.sharding import batch_sharding
from research.training.summaries import Summaries
from research.workdir import Run

TURNS = 9
SIZES = {"0.5 ms": {"width": 32, "batch": 64, "steps": 2000, "limit": 1.10},
         "5 ms": {"width": 160, "batch": 256, "steps": 200, "limit": 1.03}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Source):
  """Random vectors with random labels."""

  width: int

  def open_all(self, data_dir):
    rng = np.random.default_rng(0)
    return Columns({"inputs": rng.normal(size=(8192, self.width)).astype(np.float32),
                    "labels": rng.integers(0, 10, 8192).astype(np.int32)})


def recipe(width: int, batch: int, steps: int) -> Experiment:
  return Experiment(
      data=Data(train=Noise(width=width), evaluation={}, batch_size=batch),
      task=Classification(num_classes=10), model=mlp.Config(widths=(width,) * 24, scan=True),
      optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01),
      training=Training(steps=Duration(steps * (TURNS + 1)), log_every=Duration(steps // 10), save_every=Duration(0),
                        evaluate_every=Duration(0)))


class Bare:
  """What one writes by hand: a jitted step, arrays indexed by a permutation, no extras."""

  def __init__(self, experiment: Experiment):
    self.batch = experiment.data.batch_size
    columns = experiment.data.train.open(None).read(np.arange(8192))
    self.inputs, self.labels = columns["inputs"], columns["labels"]
    spec = jax.ShapeDtypeStruct((self.batch, self.inputs.shape[1]), np.float32)
    definition, self.params = nnx.split(experiment.model.build(spec, 10, nnx.Rngs(0)))
    optimizer = optax.adamw(1e-3, weight_decay=0.01)
    self.state = optimizer.init(self.params)

    def step(params, state, inputs, labels):
      def loss(params):
        logits = nnx.merge(definition, params)(inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

      value, gradient = jax.value_and_grad(loss)(params)
      updates, state = optimizer.update(gradient, state, params)
      return optax.apply_updates(params, updates), state, value

    self.step = jax.jit(step, donate_argnums=(0, 1))

  def turn(self, steps: int) -> float:
    rng, begin, done = np.random.default_rng(0), time.perf_counter(), 0
    while done < steps:
      for rows in rng.permutation(8192).reshape(-1, self.batch)[:steps - done]:
        self.params, self.state, value = self.step(self.params, self.state, self.inputs[rows], self.labels[rows])
        done += 1
    jax.block_until_ready(value)
    return time.perf_counter() - begin


class Framework:
  """The real loop, with the callbacks and the wiring of a run."""

  def __init__(self, experiment: Experiment, run: Run, stack: contextlib.ExitStack):
    self.fit = Fit(experiment, 0, run)
    traced = self.fit.program.step.trace(self.fit.program.abstract, self.fit.program.batch)
    self.compiled, self.fit.flops = traced.lower().compile(), 0
    self.state = self.fit.program.create(jax.random.key(0))
    self.fit.progress = Progress(self.fit.schedule.total)
    self.fit.summaries = Summaries(run.folder, resume_step=0)
    self.batches = experiment.data.training(self.fit.opened, seed=0, sharding=batch_sharding(self.fit.mesh))
    stack.enter_context(contextlib.closing(self.batches))

  def turn(self, steps: int) -> float:
    fit, begin = self.fit, time.perf_counter()
    schedule = dataclasses.replace(fit.schedule, total=int(self.state.step) + steps)
    callbacks = loop.Callbacks(log=fit._log, evaluate=fit._evaluate, save=fit._save, live=fit.progress.live)
    self.state, _, _ = loop.run(self.state, self.compiled, self.batches, schedule, callbacks, fit.run.interruption,
                                fit.seconds, fit.program.fresh_window)
    jax.block_until_ready(self.state.params)
    spent = time.perf_counter() - begin
    fit.checkpoints.wait()  # the background write must not run into the bare loop's turn
    return spent


def main() -> int:
  environment = records.environment()
  print(f"{environment['cpu']}, {environment['cores']} cores, jax {environment['versions']['jax']}")
  failed = False
  for name, size in SIZES.items():
    experiment = recipe(size["width"], size["batch"], size["steps"])
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
      run = Run(epath.Path(folder), None, stack.enter_context(Interruption()))
      bare, framework = Bare(experiment), Framework(experiment, run, stack)
      bare.turn(size["steps"]), framework.turn(size["steps"])  # compiled and warm
      pairs = [(bare.turn(size["steps"]), framework.turn(size["steps"])) for _ in range(TURNS)]
    ratio = statistics.median(f / b for b, f in pairs)
    step = statistics.median(b for b, _ in pairs) / size["steps"] * 1e3
    failed |= ratio > size["limit"]
    print(f"step {name}: bare {step:.3f} ms, framework {ratio:.3f} x (limit {size['limit']}, range "
          f"{min(f / b for b, f in pairs):.3f} to {max(f / b for b, f in pairs):.3f})")
  return int(failed)


if __name__ == "__main__":
  sys.exit(main())
