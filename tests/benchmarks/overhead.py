"""What the framework costs: its training loop against a bare hand-written jax.jit loop of the same network.

    python tests/benchmarks/overhead.py

A 24-layer MLP with AdamW at two sizes, a step of about 0.5 ms and one of about 5 ms, and ViT-S/16 on augmented pictures of 224
pixels, a step of some seconds. Both loops run in one process, in turns of a hundredth of the run (of a step), on the same data
in memory; the framework's side includes its input pipeline, metrics, gradient norm, health checks, 100 log lines and summaries
and two checkpoints (of ViT one, at the end: a minute's run has no more). Prints the ratio of the sums, and the processor.
"""

import contextlib
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from research import process

process.tune_allocator()

import dataclasses

import cv2
import jax
import numpy as np
import optax
from etils import epath
from flax import nnx

from research import records
from research.augmentation.normalize import signed
from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.experiment import Experiment
from research.fit import Fit
from research.models import mlp, vit
from research.optimizers.adamw import AdamW
from research.preprocessing.crops import RandomResizedCrop
from research.preprocessing.geometry import Flip
from research.tasks.classification import Classification
from research.training import loop
from research.training.interruption import Interruption
from research.training.progress import Progress
from research.training.settings import Training
from research.training.sharding import batch_sharding
from research.training.summaries import Summaries
from research.workdir import Run

SIZE = 224  # of the pictures that ViT sees


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Source):
  """Random vectors with random labels."""

  width: int

  def open_all(self, data_dir):
    rng = np.random.default_rng(0)
    return Columns({"inputs": rng.normal(size=(8192, self.width)).astype(np.float32),
                    "labels": rng.integers(0, 10, 8192).astype(np.int32)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures(Source):
  """Random pictures of 240 x 288 pixels with random labels."""

  def open_all(self, data_dir):
    rng = np.random.default_rng(0)
    return Columns({"inputs": rng.integers(0, 256, (64, 240, 288, 3)).astype(np.uint8),
                    "labels": rng.integers(0, 10, 64).astype(np.int32)})


def images(batch: int, steps: int) -> Experiment:
  return Experiment(
      data=Data(train=Pictures(), evaluation={}, batch_size=batch, on_device=(signed(),),
                transforms=(RandomResizedCrop(size=SIZE, library="opencv"), Flip())),
      task=Classification(num_classes=10), model=vit.vit_s(), optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01),
      training=Training(steps=Duration(steps), evaluate_every=Duration(0), save_every=Duration(0)))


def vectors(width: int, batch: int, steps: int) -> Experiment:
  return Experiment(
      data=Data(train=Noise(width=width), evaluation={}, batch_size=batch),
      task=Classification(num_classes=10), model=mlp.Config(widths=(width,) * 24, scan=True),
      optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01),
      training=Training(steps=Duration(steps), evaluate_every=Duration(0), save_every=Duration(50, "%")))


# Name: the run, the steps of a turn, and the largest ratio.
RUNS = {"0.5 ms": (vectors(24, 32, 40_000), 400, 1.10), "5 ms": (vectors(112, 128, 4_000), 40, 1.03),
        "ViT-S/16": (images(8, 40), 1, 1.03)}


class Bare:
  """What one writes by hand: a jitted step, arrays indexed by a permutation, no extras."""

  def __init__(self, experiment: Experiment):
    self.batch = experiment.data.batch_size
    examples = experiment.data.train.open(None)
    columns = examples.read(np.arange(len(examples)))
    self.inputs, self.labels = columns["inputs"], columns["labels"]
    self.is_image, self.rng = self.inputs.ndim == 4, np.random.default_rng(0)
    shape = (SIZE, SIZE, 3) if self.is_image else self.inputs.shape[1:]
    spec = jax.ShapeDtypeStruct((self.batch, *shape), np.float32)
    definition, self.params = nnx.split(experiment.model.build(spec, 10, nnx.Rngs(0)))
    optimizer = optax.adamw(1e-3, weight_decay=0.01)
    self.state = optimizer.init(self.params)

    def step(params, state, inputs, labels):
      inputs = inputs / 127.5 - 1 if self.is_image else inputs

      def loss(params):
        logits = nnx.merge(definition, params)(inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

      value, gradient = jax.value_and_grad(loss)(params)
      updates, state = optimizer.update(gradient, state, params)
      return optax.apply_updates(params, updates), state, value

    self.step = jax.jit(step, donate_argnums=(0, 1))

  def augmented(self, rows) -> np.ndarray:
    """A random part of each picture, of the framework's mean area, resized, mirrored half of the time."""
    out = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
    for n, row in enumerate(rows):
      height, width = self.rng.integers(120, 240), self.rng.integers(144, 288)
      top, left = self.rng.integers(0, 241 - height), self.rng.integers(0, 289 - width)
      out[n] = cv2.resize(self.inputs[row, top:top + height, left:left + width], (SIZE, SIZE))
      if self.rng.random() < 0.5:
        out[n] = cv2.flip(out[n], 1)
    return out

  def turn(self, steps: int) -> float:
    rng, begin, done = np.random.default_rng(0), time.perf_counter(), 0
    while done < steps:
      for rows in rng.permutation(len(self.labels)).reshape(-1, self.batch)[:steps - done]:
        inputs = self.augmented(rows) if self.is_image else self.inputs[rows]
        self.params, self.state, value = self.step(self.params, self.state, inputs, self.labels[rows])
        done += 1
    jax.block_until_ready(value)
    return time.perf_counter() - begin


class TakingTurns:
  """The framework's step, which after every segment lets the bare loop run as many steps; both are timed to the end."""

  def __init__(self, step, bare: Bare, segment: int):
    self.step, self.bare, self.segment = step, bare, segment
    self.calls, self.begin = 0, time.perf_counter()
    self.seconds: list[tuple[float, float]] = []  # (bare, framework) of each segment

  def __call__(self, state, batch):
    state = self.step(state, batch)
    self.calls += 1
    if self.calls % self.segment == 0:
      jax.block_until_ready(state.params)
      spent = time.perf_counter() - self.begin
      self.seconds.append((self.bare.turn(self.segment), spent))
      self.begin = time.perf_counter()
    return state


def measure(experiment: Experiment, segment: int) -> list[tuple[float, float]]:
  """A whole run of the real loop with its input, log lines, summaries and checkpoints, in turns with the bare one."""
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    fit = Fit(experiment, 0, Run(epath.Path(folder), None, stack.enter_context(Interruption())))
    compiled = fit.compile()
    bare = Bare(experiment)
    bare.turn(segment)  # compiled and warm
    turns = TakingTurns(compiled, bare, segment)
    fit.flops, fit.progress = 0, Progress(fit.schedule.total)
    fit.summaries = stack.enter_context(contextlib.closing(Summaries(fit.run.folder)))
    batches = experiment.data.training(fit.opened, seed=0, sharding=batch_sharding(fit.mesh))
    callbacks = loop.Callbacks(log=fit._log, evaluate=fit._evaluate, save=fit._save, live=fit.progress.live)
    with fit.checkpoints, contextlib.closing(batches):
      loop.run(fit.program.create(jax.random.key(0)), turns, batches, fit.schedule, callbacks, fit.run.interruption,
               fit.seconds, fit.fresh_window)
  return turns.seconds[1:]


def main() -> int:
  environment = records.environment()
  print(f"{environment['cpu']}, {environment['cores']} cores, jax {environment['versions']['jax']}")
  failed = False
  for name, (experiment, segment, limit) in RUNS.items():
    seconds = np.array(measure(experiment, segment))
    bare, framework = seconds.sum(0)
    parts = [part[:, 1].sum() / part[:, 0].sum() for part in np.array_split(seconds, 10)]
    failed |= framework / bare > limit
    step = bare / len(seconds) / segment
    print(f"step {name}: bare {step * 1e3:.3f} ms, framework {framework / bare:.3f} x (limit {limit}; "
          f"median of ten parts {np.median(parts):.3f}, {min(parts):.3f} to {max(parts):.3f})")
  return int(failed)


if __name__ == "__main__":
  sys.exit(main())
