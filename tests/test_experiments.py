"""Every experiment: its file keeps the form, its settings round trip, its program traces, its record is there."""

import ast
import json
import os
import re
import subprocess
import sys

import jax
import pytest
from twins import twin

from research import command_line, config, records
from research.assessment import Assessment
from research.experiment import Comparison, Experiment, Selection
from research.optimizers.schedule import Length
from research.paper import Paper
from research.studies.base import Study
from research.training import program

LONG = Length(total_steps=1_000_000, batch_size=100, steps_per_epoch=1000)  # twins are small, schedules are not
EXPERIMENTS = command_line.experiments()


def _load(name):
  return command_line.load(EXPERIMENTS[name]).experiment()


def _cannot_run(name):
  """Says its first line that it cannot run here?"""
  return "NOT RUN" in EXPERIMENTS[name].read_text().splitlines()[0]


def _trained(experiment):
  """The training runs in an experiment."""
  if isinstance(experiment, Selection):  # one program, several settings
    return _trained(next(iter(experiment.members.values())))
  if isinstance(experiment, Comparison):
    return [run for member in experiment.members.values() for run in _trained(member)]
  return [experiment] if isinstance(experiment, Experiment) else []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_docstring_is_a_promise(name):
  text = EXPERIMENTS[name].read_text()
  doc = ast.get_docstring(ast.parse(text))
  assert f"python launch.py --experiment={name}" in doc
  assert re.search(r"\b(\d+ ?s|seconds?|minutes?|hours?)\b.*\b(CPU|GPUs?|TPUs?|cores?)\b", doc, re.I | re.S), "time and device"
  assert len(text.splitlines()) < 60


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_is_a_published_result_whose_settings_round_trip(name):
  experiment = _load(name)
  assert isinstance(experiment, (Assessment, Experiment, Comparison, Study))
  assert isinstance(experiment.paper, Paper) and experiment.targets and experiment.seeds
  again = config.from_json(json.loads(json.dumps(config.to_json(experiment))), experiment)
  assert again == experiment
  for leaf in config.leaves(experiment):
    assert leaf.doc, f"{leaf.path} has no meaning in --help"
  for target in experiment.targets:
    assert target.published is None or target.place, f"{target.metric}: a published figure without its place"


# Long to trace; smaller ones of their kind run in tests/test_fit.py and tests/test_image_twins.py.
SLOW = ("best_practices", "cifar10_mixup", "cifar10_sam", "cifar10_wrn_28_10", "imagenet_sam", "agnews_bert",
        "multi30k_tutorial", "openwebtext_gpt2", "wmt14_ende_base", "cnndm_bart", "cnndm_pegasus", "scitldr_abstractive",
        "wmt14_ende_big", "wmt16_scaling_nmt", "wmt17_flax_en_de", "xsum_bart", "xsum_pegasus", "tatoeba_en_de", "bbc_titles",
        "librispeech_conformer_m", "librispeech_conformer_l", "librispeech_rnnt")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.heavy if n in SLOW else ())
                                  for n in EXPERIMENTS if _trained(_load(n))])
def test_its_training_step_traces_without_data_on_a_device(name):
  traced = []
  for run in _trained(_load(name)):
    data = twin(run.data, run.task.num_outputs)
    opened = data.open(None)
    program_of = (run.model, run.task, run.training.precision, data.specs(opened), data.on_device)
    if program_of in traced:
      continue  # the same network on like data, with another rate
    traced.append(program_of)
    sharding = run.training.sharding
    made = program.build(model=run.model, task=run.task, optimizer=run.optimizer, training=run.training,
                         specs=data.specs(opened), length=LONG, on_device=data.on_device,
                         mesh=sharding.mesh(jax.devices()[:sharding.fsdp * sharding.tensor]))
    state = jax.eval_shape(made.step, made.abstract, made.batches[-1])  # that of the longest, where lengths differ
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == jax.tree.map(lambda a: (a.shape, a.dtype), made.abstract)


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if isinstance(_load(n), Assessment)])
def test_its_network_traces_without_data_or_weights(name):
  run = _load(name)
  data = twin(run.data, run.task.num_outputs, side=256)
  opened = data.open(None)
  spec = data.spec(opened)
  net = program.network(model=run.model, task=run.task, on_device=data.on_device, spec=spec, precision=run.precision)
  rows, _ = jax.eval_shape(lambda *args: net.rows(*args, None), net.params, net.buffers, spec)
  assert set(rows) == set(run.task.metrics)
  assert all(name in run.model.tables() for name in [run.pretrained.names])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_has_a_record_and_the_record_is_of_it(name):
  experiment, record = _load(name), records.read_all().get(name)
  if _cannot_run(name):
    assert record is None
    return
  assert record is not None, "run it and keep its record, or say NOT RUN in its docstring"
  assert record["experiment"] == name and not record["deviations"]
  if record["config_hash"] != config.config_hash(experiment):
    pytest.skip("the record is of an older configuration; run it again")
  assert [t["metric"] for t in record["targets"]] == [t.metric for t in experiment.targets]
  assert tuple(record["seeds"]) == tuple(experiment.seeds)


@pytest.mark.heavy
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_record_can_be_made_again(name, tmp_path, data_dir):
  """Runs the experiment in full: the same verdict on every target."""
  if _cannot_run(name):
    pytest.skip("it cannot run here")
  flags = [f"--experiment={name}", f"--workdir={tmp_path / 'run'}", f"--data_dir={data_dir}"]
  subprocess.run([sys.executable, "launch.py", *flags],
                 cwd=EXPERIMENTS[name].parent.parent, check=True, env={**os.environ, "XLA_FLAGS": ""})
  made, kept = json.loads((tmp_path / "run" / "record.json").read_text()), records.read_all()[name]
  assert {t["metric"]: t["verdict"] for t in made["targets"]} == {t["metric"]: t["verdict"] for t in kept["targets"]}
