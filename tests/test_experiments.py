"""Every experiment: its file keeps the form, its settings round trip, its program traces, its record is there."""

import ast
import json
import os
import re
import subprocess
import sys

import jax
import pytest

from research import command_line, config, records
from research.experiment import Comparison, Experiment
from research.paper import Paper
from research.studies.base import Study
from research.training import program

EXPERIMENTS = command_line.experiments()


def _load(name):
  return command_line.load(EXPERIMENTS[name]).experiment()


def _trained(experiment):
  """The training runs in an experiment."""
  if isinstance(experiment, Comparison):
    return [run for member in experiment.members.values() for run in _trained(member)]
  return [experiment] if isinstance(experiment, Experiment) else []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_docstring_is_a_promise(name):
  text = EXPERIMENTS[name].read_text()
  doc = ast.get_docstring(ast.parse(text))
  assert f"python launch.py --experiment={name}" in doc
  assert re.search(r"\b(\d+ ?s|seconds?|minutes?|hours?)\b.*\b(CPU|GPU|TPU|cores?)\b", doc, re.I | re.S), "how long, on what"
  assert len(text.splitlines()) < 60


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_is_a_published_result_whose_settings_round_trip(name):
  experiment = _load(name)
  assert isinstance(experiment, (Experiment, Comparison, Study))
  assert isinstance(experiment.paper, Paper) and experiment.targets and experiment.seeds
  again = config.from_json(json.loads(json.dumps(config.to_json(experiment))), experiment)
  assert again == experiment
  for leaf in config.leaves(experiment):
    assert leaf.doc, f"{leaf.path} has no meaning in --help"
  for target in experiment.targets:
    assert target.published is None or target.place, f"{target.metric}: a published figure without its place"


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if _trained(_load(n))])
def test_its_training_step_traces_without_data_on_a_device(name):
  for run in _trained(_load(name)):
    opened = run.data.open(None)
    made = program.build(model=run.model, task=run.task, optimizer=run.optimizer, training=run.training,
                         spec=run.data.spec(opened), length=run.length(opened),
                         mesh=run.training.sharding.mesh(jax.devices()[:1]))
    state = jax.eval_shape(made.step, made.abstract, made.batch)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == jax.tree.map(lambda a: (a.shape, a.dtype), made.abstract)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_has_a_record_and_the_record_is_of_it(name):
  record = records.read_all()[name]
  experiment = _load(name)
  assert record["experiment"] == name and not record["deviations"]
  if record["config_hash"] != config.config_hash(experiment):
    pytest.skip("the record is of an older configuration; run it again")
  assert [t["metric"] for t in record["targets"]] == [t.metric for t in experiment.targets]
  assert tuple(record["seeds"]) == tuple(experiment.seeds)


@pytest.mark.heavy
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_record_can_be_made_again(name, tmp_path, data_dir):
  """Runs the experiment in full: the same verdict on every target."""
  flags = [f"--experiment={name}", f"--workdir={tmp_path / 'run'}", f"--data_dir={data_dir}"]
  subprocess.run([sys.executable, "launch.py", *flags],
                 cwd=EXPERIMENTS[name].parent.parent, check=True, env={**os.environ, "XLA_FLAGS": ""})
  made, kept = json.loads((tmp_path / "run" / "record.json").read_text()), records.read_all()[name]
  assert {t["metric"]: t["verdict"] for t in made["targets"]} == {t["metric"]: t["verdict"] for t in kept["targets"]}
