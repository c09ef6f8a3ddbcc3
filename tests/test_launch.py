"""launch.py as a user runs it: a process, its output, its exit code, and what it leaves behind."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent

OWN = '''"""An experiment of one's own: a line through points on a line."""

import dataclasses

import numpy as np

from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.experiment import Experiment
from research.models import linear
from research.optimizers.descent import GradientDescent
from research.paper import Paper, Target, at_most
from research.tasks.regression import Regression
from research.training.settings import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line(Source):
  """Points (x, 3x − 1)."""

  def open_all(self, data_dir):
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    return Columns({"inputs": x, "targets": 3 * x - 1})


def experiment():
  return Experiment(
      paper=Paper(title="A line", authors="Gauss", year=1809, venue="Theoria motus", url="https://example.org"),
      data=Data(train=Line(), evaluation={"test": Line()}, batch_size=16),
      task=Regression(), model=linear.Config(), optimizer=GradientDescent(learning_rate=0.2),
      training=Training(steps=Duration(200)), seeds=(0,),
      targets=(Target(metric="test/loss", criterion=at_most(1e-6), says="least squares finds the line"),))
'''


def launch(home, *arguments, timeout=120):
  begin = time.monotonic()
  done = subprocess.run([sys.executable, str(ROOT / "launch.py"), *arguments], capture_output=True, text=True, timeout=timeout,
                        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}, cwd=home)
  return done, time.monotonic() - begin


@pytest.fixture
def own(tmp_path):
  path = tmp_path / "line.py"
  path.write_text(OWN)
  return path


def test_without_arguments_lists_every_experiment_without_importing_jax(tmp_path):
  done, _ = launch(tmp_path)
  names = [path.stem for path in (ROOT / "experiments").glob("[!_]*.py")]
  assert done.returncode == 0 and all(f"  {name} " in done.stdout for name in names)
  code = "import sys, runpy; sys.argv = ['launch.py']\ntry: runpy.run_path('launch.py', run_name='__main__')\n" \
         "except SystemExit: pass\nassert 'jax' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_help_shows_every_setting_with_type_and_default(tmp_path, own):
  done, _ = launch(tmp_path, f"--experiment={own}", "--help")
  assert done.returncode == 0
  assert "--optimizer.learning_rate=0.2  (float)" in done.stdout
  assert "--training.precision=float32  (one of float32, bfloat16, float64)" in done.stdout


def test_ones_own_file_trains_to_a_verdict_and_a_report(tmp_path, own):
  done, _ = launch(tmp_path, f"--experiment={own}", f"--workdir={tmp_path / 'run'}")
  assert done.returncode == 0, done.stderr
  assert "line: REPRODUCED" in done.stdout
  record = json.loads((tmp_path / "run" / "record.json").read_text())
  assert record["verdict"] == "REPRODUCED" and record["targets"][0]["value"] < 1e-6
  assert (tmp_path / "run" / "report.html").read_text().startswith("<!DOCTYPE html>")
  again, _ = launch(tmp_path, f"--experiment={own}", f"--workdir={tmp_path / 'run'}")
  assert again.returncode == 0 and "examples/s" not in again.stderr  # nothing is trained twice
  evaluated, _ = launch(tmp_path, f"--experiment={own}", f"--workdir={tmp_path / 'run'}", "--mode=evaluate")
  assert evaluated.returncode == 0 and "REPRODUCED" in evaluated.stdout


def test_a_deviation_is_not_comparable_and_no_error(tmp_path, own):
  done, _ = launch(tmp_path, f"--experiment={own}", "--training.steps=5")
  assert done.returncode == 0 and "line: NOT COMPARABLE" in done.stdout and "training.steps: 200 → 5" in done.stdout
  assert len(list((tmp_path / "fieldwork" / "line").iterdir())) == 1


def test_gradients_are_checked(tmp_path, own):
  done, _ = launch(tmp_path, f"--experiment={own}", "--mode=check_gradients")
  assert done.returncode == 0 and "agrees in all 2 parameters" in done.stdout


def test_another_config_on_a_named_folder_is_refused_with_the_differences(tmp_path, own):
  folder = tmp_path / "run"
  assert launch(tmp_path, f"--experiment={own}", f"--workdir={folder}", "--training.steps=5")[0].returncode == 0
  before = sorted(p.name for p in folder.iterdir())
  done, _ = launch(tmp_path, f"--experiment={own}", f"--workdir={folder}", "--training.steps=6")
  assert done.returncode == 2 and "training.steps: 5 → 6" in done.stderr and done.stderr.count("\n") == 1
  assert sorted(p.name for p in folder.iterdir()) == before


FILES = {
    "broken.py": "def experiment(:\n", "empty.py": '"""Nothing."""\n', "missing_import.py": "import nothing_of_this_name\n",
    "bad_process.py": 'PROCESS = {"x65": True}\ndef experiment(): ...\n', "plain.txt": "x",
}
QUICK = "--experiment=quickstart"
WRONG = [
    (["--experiment=quickstrat"], 'Did you mean "quickstart"'),
    (["--experiment=./absent.py"], "no such file"),
    (["--experiment=./broken.py"], "cannot be imported|syntax"),
    (["--experiment=./empty.py"], "defines no function experiment"),
    (["--experiment=./missing_import.py"], "nothing_of_this_name"),
    (["--experiment=./bad_process.py"], "x65"),
    (["--mode=train"], "which experiment"),
    ([QUICK, "--mode=trian"], "trian.*train"),
    ([QUICK, "--members.mnist1d.optimizer.learning_rat=1"], "Did you mean .*learning_rate"),
    ([QUICK, "--lerning_rate=1"], "no flag"),
    ([QUICK, "--members.mnist1d.optimizer.learning_rate=fast"], "expected float"),
    ([QUICK, "--members.digits.model.channels=1,x"], "expected tuple of int"),
    ([QUICK, "--members.digits.model.channels=32"], "must be equal"),
    ([QUICK, "--members.digits.task.label_smoothing=2"], "label_smoothing"),
    ([QUICK, "--members.mnist1d.training.steps=5parsecs"], "no duration"),
    ([QUICK, "--members.mnist1d.training.precision=float8"], "one of float32, bfloat16, float64"),
    ([QUICK, "--members.mnist1d.training.steps=6001"], "no multiple of steps_per_call"),
    ([QUICK, "--members.digits.data.batch_size=5000"], "batch_size"),
    ([QUICK, "--members.mnist1d.training.best_metric=test/acuracy"], "no such metric"),
    ([QUICK, "--members.mnist1d.training.sharding.fsdp=3"], "does not fit"),
    ([QUICK, "--data_dir=/nowhere/at/all"], "no such folder"),
    ([QUICK, "--workdir=/proc/nowhere"], "cannot be written"),
    ([QUICK, "--workdir=plain.txt"], "plain.txt"),
    ([QUICK, "--seeds=a"], "whole numbers"),
    ([QUICK, "--mode=evaluate"], "Train first"),
    ([QUICK, "--coordinator=localhost:1"], "given together"),
    ([QUICK, "stray"], "no flag"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else None)
def test_a_wrong_command_line_is_one_clear_line(tmp_path, arguments, words):
  for name, text in FILES.items():
    (tmp_path / name).write_text(text)
  done, seconds = launch(tmp_path, *arguments)
  assert done.returncode == 2, done.stderr
  assert done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
  assert re.search(words, done.stderr), done.stderr
  left = {p.name for p in tmp_path.iterdir()} - {*FILES, ".cache", "__pycache__"}
  assert not left, f"left behind: {left}"
  assert seconds < 30  # 8 on an idle machine; the suite may run beside others
