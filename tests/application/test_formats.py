"""Other formats beside StableHLO: each answers as the live network does in its own runtime, or there is no bundle at all."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from trained import FACTS, untrained

from experiments import fsdd_cnn, quickstart
from research.application import also, runtime
from research.application.gate import GateError
from research.application.settings import Export
from research.config import ConfigError, Duration
from research.data.chosen import Chosen
from research.models import linear
from research.modes.export import export
from research.preprocessing.arrays import Reshape, Scale
from research.training.interruption import Interruption
from research.workdir import Run

FORMATS = ("saved_model", "tflite", "onnx")
SETTINGS = Export(batch_sizes=(4,), num_examples=6, explain=False)


def needs(form: str) -> None:
  """Skips a test where the packages of a format are absent."""
  missing = [package for package in also.FORMATS[form].NEEDS if importlib.util.find_spec(package) is None]
  if missing:
    pytest.skip(f"{form} needs {', '.join(missing)}: install the extra")


@pytest.fixture(scope="module")
def linear_digits(tmp_path_factory):
  """A linear classifier of digits with random weights: its answers are softmax(x·W + b)."""
  experiment = quickstart.digits()
  data = dataclasses.replace(experiment.data, transforms=(Scale(factor=1 / 16), Reshape(shape=(64,))))
  trained = untrained(dataclasses.replace(experiment, data=data, model=linear.Config()), tmp_path_factory.mktemp("run"))
  key = jax.random.key(0)
  params = jax.tree.map(lambda p: jax.random.normal(jax.random.fold_in(key, p.ndim), p.shape), trained.params)
  return dataclasses.replace(trained, params=params)


def elsewhere(trained, name: str):
  """The same network, of a run in another folder."""
  run = dataclasses.replace(trained.run, folder=trained.run.folder / name)
  run.folder.mkdir()
  return dataclasses.replace(trained, run=run)


def double(error: float = 0.0, fails: str | None = None):
  """A format whose runtime is jax, with answers that are off by a factor of 1 + error."""
  kept = []

  def write(programs, folder):
    if fails:
      raise NotImplementedError(fails)
    kept.extend(programs)
    (folder / "answer_0.double").write_bytes(b"a network")

  def load(folder):
    assert (folder / "answer_0.double").read_bytes() == b"a network"
    return lambda number, given: {
        name: np.asarray(array) * np.float32(1 + error) for name, array in
        kept[number].call(kept[number].weights, {name: given[name] for name in kept[number].inputs}).items()}

  return types.SimpleNamespace(NEEDS=(), CANNOT={"text-generation": "it has no loops"}, write=write, load=load)


def test_a_format_is_part_of_the_bundle_and_its_gate_is_told(linear_digits, monkeypatch):
  monkeypatch.setitem(also.FORMATS, "tflite", double())
  trained = elsewhere(linear_digits, "whole")
  folder = pathlib.Path(export(trained, dataclasses.replace(SETTINGS, also=("tflite",)), "digits", FACTS))
  bundle = runtime.load(folder)
  assert bundle.spec["also"]["tflite"]["examples"] == 6
  assert bundle.spec["also"]["tflite"]["largest_difference"] <= 1e-5
  assert "`formats/tflite/`, run by its own runtime" in bundle.card
  (folder / "formats" / "tflite" / "answer_0.double").write_bytes(b"a Network")
  with pytest.raises(runtime.BundleError, match=r"formats/tflite/answer_0\.double has changed"):
    runtime.load(folder)


@pytest.mark.parametrize("form, error", [
    (double(error=1e-3), "no bundle was made: on 6 examples its tflite answers differ"),
    (double(fails="no\nsort"), "no bundle was made: export.also=tflite cannot hold this network: no sort")])
def test_where_a_format_fails_nothing_is_written(linear_digits, monkeypatch, form, error):
  monkeypatch.setitem(also.FORMATS, "tflite", form)
  trained = elsewhere(linear_digits, error[-4:])
  with pytest.raises((GateError, also.FormatError), match=error):
    export(trained, dataclasses.replace(SETTINGS, also=("tflite",)), "digits", FACTS)
  assert not list(trained.run.folder.iterdir())


def test_what_cannot_be_is_said_before_any_work(monkeypatch):
  monkeypatch.setitem(also.FORMATS, "tflite", double())
  writer = types.SimpleNamespace(kind="text-generation")
  with pytest.raises(ConfigError, match=r"export\.also=tflite: no text-generation: it has no loops"):
    also.check_possible(("tflite",), writer)
  also.check_possible((), writer)
  monkeypatch.setattr(also.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ConfigError, match=r"export\.also=saved_model needs tensorflow: pip install 'fieldwork\[saved-model\]'"):
    also.check_installed(("saved_model",))
  with pytest.raises(ConfigError, match="names a format twice"):
    Export(also=("onnx", "onnx"))
  with pytest.raises(ConfigError, match=r"other formats hold float32 weights, not export\.weights=int8"):
    Export(also=("onnx",), weights="int8")


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_answers_by_the_formula(linear_digits, form):
  needs(form)
  trained = elsewhere(linear_digits, form)
  bundle = runtime.load(pathlib.Path(export(trained, dataclasses.replace(SETTINGS, also=(form,)), "digits", FACTS)))
  x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
  found = also.FORMATS[form].load(bundle.folder / "formats" / form)(0, {"inputs": x})
  model = trained.network.bind(trained.params, trained.buffers)
  bias = np.asarray(model(jnp.zeros((1, 64))))
  expected = np.asarray(jax.nn.softmax(x @ (np.asarray(model(jnp.eye(64))) - bias) + bias))
  np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


@functools.cache
def learned(name: str, data_dir: pathlib.Path, folder: pathlib.Path):
  """A network that has been trained for some seconds, once for all formats."""
  theo = lambda source: Chosen(source=source, field="speaker", values=("theo",))
  experiment, epochs = {"digits": (quickstart.digits(), 2),
                        "speech": (fsdd_cnn.run(theo(fsdd_cnn.TRAIN), theo(fsdd_cnn.TEST)), 6)}[name]
  training = dataclasses.replace(experiment.training, steps=Duration(epochs, "ep"), evaluate_every=Duration(0))
  experiment = dataclasses.replace(experiment, training=training)
  folder.mkdir()
  with Interruption() as interruption:
    run = Run(epath.Path(folder), epath.Path(data_dir), interruption)
    experiment.measure(0, run)
    return experiment.trained(0, run)


@pytest.mark.heavy
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["digits", "speech"])
def test_a_trained_network_answers_in_every_format(name, form, data_dir, tmp_path_factory):
  needs(form)
  trained = elsewhere(learned(name, data_dir, tmp_path_factory.getbasetemp() / name), form)
  settings = Export(batch_sizes=(16,), num_examples=32, explain=False, also=(form,))
  spec = json.loads((pathlib.Path(export(trained, settings, name, FACTS)) / "bundle.json").read_text())
  seen = spec["also"][form]
  assert seen["examples"] == 32
  assert seen["largest_difference"] <= 1e-5
  assert seen["bundle"] == seen["live"] > 0.3  # of ten classes: it has learned
