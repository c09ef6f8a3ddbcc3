"""The mode plan: what it keeps, what it refuses, and that it predicts what a run then holds."""

import dataclasses
import json

import jax
import pytest
from etils import epath
from recipes import launch, write
from twins import twin

from research import command_line, workdir
from research.config import ConfigError
from research.experiment import Comparison
from research.fit import Fit
from research.modes import plan
from research.modes.base import Context
from research.modes.plan_process import Compiler
from research.planning import compute
from research.planning.devices import parse
from research.planning.settings import Plan
from research.training.interruption import Interruption
from research.training.sharding import Sharding
from research.workdir import Run

FIVE = ("mnist1d_benchmark", "mnist_cnn", "cifar10_resnet20", "shakespeare_char", "multi30k_tiny")


@pytest.fixture
def interruption():
  with Interruption() as found:
    yield found


def _recipe(name):
  """A training run of an experiment, on generated data, and on one device."""
  run = command_line.load(command_line.find(name)).experiment()
  while isinstance(run, Comparison):
    run = next(iter(run.members.values()))
  return dataclasses.replace(run, data=twin(run.data, run.task.num_outputs),
                             training=dataclasses.replace(run.training, sharding=Sharding(data=1)))


def _one_device(monkeypatch):
  monkeypatch.setattr(compute.topologies, "devices", lambda device: jax.devices()[:1])
  monkeypatch.setattr(compute.calibration, "rates", lambda: {"flops": 1.0, "bandwidth": 1e9})  # none is tried


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.heavy if i else ()) for i, name in enumerate(FIVE)])
def test_the_memory_is_what_the_run_holds(name, tmp_path, monkeypatch, interruption):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  _one_device(monkeypatch)
  recipe = _recipe(name)
  step = compute.compile_step(recipe, parse("cpu"), None)
  fit = Fit(recipe, 0, Run(epath.Path(tmp_path), None, interruption))
  fit.compile()
  assert step.peak == fit.program_bytes > 0
  assert step.peak == pytest.approx(sum(step.holds.values()))
  state = fit.program.abstract
  assert step.holds["parameters"] == sum(p.size * p.dtype.itemsize for p in jax.tree.leaves(state.params))
  assert step.flops == fit.flops and step.fits and step.capacity > step.peak
  assert step.tokens == (recipe.data.batch_size * 16 if name == "shakespeare_char" else 0)  # its twin's windows


STEP = compute.Compiled(
    device="cpu", devices=1, kind="cpu", precision="float32", mesh={"data": 1}, batch_size=8, num_parameters=1, flops=1e9,
    mean_share=1.0, elementwise=0.0, notes=(), fits=True, capacity=1e9, peak=1e6, holds={}, products=0.0, others=0.0,
    compile_seconds=1.0, rates={"flops": 1e9, "bandwidth": 1e9, "step": 0.5}, batch_bytes=1.0, state_bytes=1.0,
    num_checkpoints=1, total_steps=1, num_examples=1, eval_examples=0, num_evaluations=0, data_bytes=0.0, declared="")


class Fake:
  """A compiler of one answer."""

  answer: compute.Compiled | str = ""

  def __init__(self, job, interruption):
    self.job = job

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def __call__(self, device, changes):
    return dataclasses.replace(self.answer, device=device.name) if isinstance(self.answer, compute.Compiled) else self.answer


def _context(name, folder, interruption, **changes):
  run = command_line.load(command_line.find(name)).experiment()
  fields = {"name": name, "summary": "", "experiment": run, "default": run, "seeds": (0,), "data_dir": None, "member": None,
            "workdir": str(folder), "interruption": interruption}
  return Context(**{**fields, **changes})


def test_what_is_said_is_kept_and_stands_beside_what_a_run_took(tmp_path, monkeypatch, interruption, capfd):
  _one_device(monkeypatch)
  monkeypatch.setattr(plan, "Compiler", Fake)
  monkeypatch.setattr(plan.topologies, "check", lambda device: None)  # installed or not
  recipe = _recipe("mnist1d_benchmark")
  monkeypatch.setattr(Fake, "answer", compute.compile_step(recipe, parse("cpu"), None))
  context = _context("mnist1d_benchmark", tmp_path / "run", interruption, member=_first("mnist1d_benchmark"))
  for _ in range(2):  # the newer takes the older's place
    workdir._Lock.held = None  # as if each were a process of its own
    assert plan.run(context, Plan(device=("cpu", "v5e"))) == 0
  said = capfd.readouterr().out
  for words in ("parameters", "MiB on each device", "step time", "examples/s", "checkpoints of", "dollars"):
    assert words in said
  folder = epath.Path(tmp_path / "run")
  plans = json.loads((folder / plan.FILE).read_text())
  assert [p["device"] for p in plans] == ["cpu", "v5e:1x1"] and plan.options(plans[0])[0].compiled == Fake.answer
  took = {"device": "cpu", "devices": 1, "step_seconds": 0.5, "hours": 1.0, "program_bytes": 100.0, "peak_bytes": None}
  (entry,), figures = plan.beside(folder, {_first("mnist1d_benchmark"): took})
  assert entry["program_bytes"] == {"predicted": Fake.answer.peak, "measured": 100.0}
  assert entry["step_seconds"]["measured"] == 0.5 and entry["step_seconds"]["predicted"] > 0
  assert figures[-1].title == "Planned and measured" and len(figures[-1].rows) == 3
  (other,), _ = plan.beside(folder, {"another": took})
  assert other["hours"] == {"predicted": None, "measured": 1.0}


def _first(name):
  return next(iter(command_line.load(command_line.find(name)).experiment().members))


def test_what_does_not_fit_says_how_much(tmp_path, monkeypatch, interruption, capfd):
  _one_device(monkeypatch)
  monkeypatch.setattr(plan, "Compiler", Fake)
  monkeypatch.setattr(plan.topologies, "check", lambda device: None)  # installed or not
  recipe = _recipe("mnist1d_benchmark")
  step = compute.compile_step(recipe, parse("cpu"), None)
  monkeypatch.setattr(Fake, "answer", dataclasses.replace(step, fits=False, peak=20.99 * 2**30, capacity=15.75 * 2**30))
  context = _context("mnist1d_benchmark", tmp_path / "run", interruption, member=_first("mnist1d_benchmark"))
  assert plan.run(context, Plan(device=("v5e",), compilations=2)) == 0
  said = capfd.readouterr().out
  assert "DOES NOT FIT: 20.99 of 15.75 GiB on each device" in said and "nothing that was tried fits" in said


@pytest.mark.parametrize("name,settings,says", [
    ("mnist_cnn", Plan(device=("v5",)), "there is no such device"),
    ("grokking_division", Plan(), "no training step to plan"),
    ("mnist1d_benchmark", Plan(), "which member"),
    ("mnist_cnn", Plan(prices="/no/such.json"), "--plan.prices"),
    ("shakespeare_char", Plan(law="/no/such.json"), "--plan.law"),
    ("mnist_cnn", Plan(budget=(1e21,)), "counts no tokens"),
    ("llama_8b", Plan(budget=(1e21,)), "goes on from given weights"),
])
def test_mistakes_are_one_line_and_leave_nothing_behind(name, settings, says, tmp_path, interruption):
  with pytest.raises(ConfigError) as error:
    plan.run(_context(name, tmp_path / "run", interruption), settings)
  assert says in str(error.value) and "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_a_compiler_that_crashes_is_said_with_its_signal(tmp_path, interruption):
  path = tmp_path / "crashes.py"
  path.write_text("import os, signal\nos.write(2, b'stack overflow in FusionEmitter\\n')\n"
                  "os.kill(os.getpid(), signal.SIGSEGV)\n")
  with Compiler({"path": str(path), "member": None, "config": {}, "data_dir": None}, interruption) as compiler:
    answer = compiler(parse("cpu"), {})
  assert answer == "the compiler's process was ended by SIGSEGV; its last words: stack overflow in FusionEmitter"


def test_a_language_model_stands_beside_the_best_of_its_compute(tmp_path, monkeypatch, interruption, capfd):
  monkeypatch.setattr(plan, "Compiler", Fake)
  step = dataclasses.replace(STEP, num_parameters=10**9, total_steps=1000, tokens=10**7, token="subword", num_examples=10**6)
  monkeypatch.setattr(Fake, "answer", step)
  context = _context("shakespeare_char", tmp_path / "run", interruption)
  assert plan.run(context, Plan(device=("cpu",), compilations=1, budget=(5.76e23,))) == 0
  said = capfd.readouterr().out
  assert "6ND = 6e+19 FLOP" in said and "1e+09 parameters, 1e+10 tokens (10 a parameter)" in said and "7.22e+10" in said
  folder = epath.Path(tmp_path / "run")
  (kept,) = json.loads((folder / plan.FILE).read_text())
  found = kept["scaling"]
  assert found["planned"]["loss"] > found["best"]["loss"] and found["planned"]["tokens"] == 1e10
  assert found["planned"]["hours"] == pytest.approx(1000 * 0.5 / 3600)
  _, figures = plan.beside(folder, {})
  law, best = (table for table in figures if "model, and" in table.title or "budget" in table.title)
  assert dict(law.rows)["as planned"].startswith("1e+09 parameters") and best.rows[0][1] == "7.22e+10"
  for old in ({**kept, "scaling": None}, {name: value for name, value in kept.items() if name != "scaling"}):
    (folder / plan.FILE).write_text(json.dumps([old]))  # as it was written before, or of another task
    assert not any("budget" in table.title for table in plan.beside(folder, {})[1])


@pytest.mark.heavy
def test_a_plan_then_the_run_and_the_record_has_both(tmp_path):
  path = write(tmp_path)
  work = f"--workdir={tmp_path / 'run'}"
  planned = launch(tmp_path, f"--experiment={path}", "--mode=plan", "--plan.device=cpu", work)
  assert planned.returncode == 0 and "step time" in planned.stdout, planned.stderr
  assert launch(tmp_path, f"--experiment={path}", work).returncode == 0
  (entry,) = json.loads((tmp_path / "run" / "record.json").read_text())["plan"]
  assert entry["program_bytes"]["predicted"] == entry["program_bytes"]["measured"] > 0
  assert entry["step_seconds"]["predicted"] > 0 and entry["hours"]["predicted"] > 0
  assert "Planned and measured" in (tmp_path / "run" / "report.html").read_text()
