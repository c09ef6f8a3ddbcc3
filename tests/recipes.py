"""An experiment of seconds that uses much of what training can do, and launch.py as a process that runs it."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent

# Enough happens between its steps (log lines, evaluations, saves) that a kill at a random moment hits each of them.
SMALL = '''"""Noisy clusters: a small network with dropout and a moving average."""

import dataclasses

import numpy as np

from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.experiment import Experiment
from research.models import mlp
from research.optimizers.adamw import AdamW
from research.paper import Paper, Target, at_most
from research.tasks.classification import Classification
from research.training.settings import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clusters(Source):
  """Four classes around random centres.

  Attributes:
    seed: of the noise.
    bad: the number of an example that is not finite.
  """

  seed: int
  bad: int | None = None

  def open_all(self, data_dir):
    labels = np.arange(512) % 4
    centres = np.random.default_rng(0).normal(size=(4, 16))
    inputs = centres[labels] + 2 * np.random.default_rng(self.seed).normal(size=(512, 16))
    if self.bad is not None:
      inputs[self.bad] = np.nan
    return Columns({"inputs": inputs, "labels": labels.astype(np.int32)})


def experiment():
  return Experiment(
      paper=Paper(title="Clusters", authors="Nobody", year=2000, venue="none", url="https://example.org"),
      data=Data(train=Clusters(seed=1), evaluation={"test": Clusters(seed=2)}, batch_size=16, eval_batch_size=64),
      task=Classification(num_classes=4), model=mlp.Config(widths=(32, 32), dropout=0.2),
      optimizer=AdamW(learning_rate=3e-3),
      training=Training(steps=Duration(400), average_decay=0.99, evaluate_with="average", evaluate_every=Duration(20),
                        save_every=Duration(12), log_every=Duration(4)),
      seeds=(0,), targets=(Target(metric="test/loss", criterion=at_most(10), signature="nats", says="it runs to the end"),))
'''


def write(folder: pathlib.Path, process: str = "{}") -> pathlib.Path:
  """Puts the experiment's file there, with what it asks of the process."""
  path = folder / "small.py"
  path.write_text(f"{SMALL}\n\nPROCESS = {process}\n")
  return path


def start(home: pathlib.Path, *arguments, prefix=(), **environment) -> subprocess.Popen:
  """launch.py with these arguments, as one who lives in `home`."""
  given = {"HOME": str(home), "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", **environment}
  return subprocess.Popen([*prefix, sys.executable, str(ROOT / "launch.py"), *map(str, arguments)], cwd=home, text=True,
                          env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def launch(home: pathlib.Path, *arguments, **settings) -> subprocess.CompletedProcess:
  """The same, to its end."""
  with start(home, *arguments, **settings) as process:
    out, error = process.communicate(timeout=300)
  return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def devices(number: int) -> dict[str, str]:
  """The environment that gives a process so many devices."""
  return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={number}"}
