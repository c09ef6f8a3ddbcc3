"""Bundles: they answer as the live network does, alone, and not at all where a bit of them has changed."""

import dataclasses
import io
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from trained import FACTS, untrained

from experiments import quickstart
from research.application import bundle as bundles
from research.application import runtime, weights
from research.application.gate import GateError
from research.application.settings import Export
from research.models import linear
from research.modes.export import export
from research.preprocessing.arrays import Reshape, Scale

SETTINGS = Export(batch_sizes=(1, 4), num_examples=6)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
  """A linear classifier of digits, and its bundle."""
  experiment = quickstart.digits()
  data = dataclasses.replace(experiment.data, transforms=(Scale(factor=1 / 16), Reshape(shape=(64,))))
  trained = untrained(dataclasses.replace(experiment, data=data, model=linear.Config()), tmp_path_factory.mktemp("run"))
  key = jax.random.key(0)  # a linear classifier begins with zeros
  params = jax.tree.map(lambda p: jax.random.normal(jax.random.fold_in(key, p.ndim), p.shape), trained.params)
  trained = dataclasses.replace(trained, params=params)
  return trained, pathlib.Path(export(trained, SETTINGS, "digits", FACTS))


def scan(index: int) -> tuple[np.ndarray, bytes]:
  """A digit's levels 0 to 1, and its picture."""
  levels = quickstart.digits().data.evaluation["test"].open(None).read(np.array([index]))["inputs"][0]
  file = io.BytesIO()
  Image.fromarray((levels * 15).astype(np.uint8)).save(file, "PNG")
  return levels.reshape(1, 64).astype(np.float32) / 16, file.getvalue()


def logits(trained, x):
  model = trained.network.bind(trained.params, trained.buffers)
  return np.asarray(model(jnp.asarray(x)))[0]


def test_a_picture_is_answered_as_the_live_network_answers(digits):
  trained, folder = digits
  bundle = runtime.load(folder)
  pictures = [scan(i) for i in range(6)]
  answers = bundle.run([bundle.prepare(file) for _, file in pictures], top=10)
  for (x, _), answer in zip(pictures, answers, strict=True):
    expected = np.asarray(jax.nn.softmax(logits(trained, x)))
    found = {row["label"]: row["probability"] for row in answer["labels"]}
    np.testing.assert_allclose([found[str(i)] for i in range(10)], expected, atol=1e-5)
    assert answer["labels"][0]["label"] == str(expected.argmax())
  assert bundle.spec["gate"]["largest_difference"] <= 1e-5
  assert "6 examples of the split test" in bundle.card


def test_an_explanation_adds_up(digits):
  trained, folder = digits
  bundle, (x, file) = runtime.load(folder), scan(3)
  found = bundle.explain(bundle.prepare(file), "7")
  assert found["label"] == "7"
  weights_7 = np.stack([logits(trained, row[None]) - logits(trained, 0 * x) for row in np.eye(64, dtype=np.float32)])[:, 7]
  np.testing.assert_allclose(found["map"], weights_7 * x[0], atol=1e-5)
  np.testing.assert_allclose(np.sum(found["map"]), (logits(trained, x) - logits(trained, 0 * x))[7], atol=1e-4)
  assert bundle.explain(bundle.prepare(file))["label"] == str(logits(trained, x).argmax())
  with pytest.raises(runtime.BadInput, match="no label 'eleven'"):
    bundle.explain(bundle.prepare(file), "eleven")


def test_a_bundle_stands_alone(digits, tmp_path):
  _, folder = digits
  (tmp_path / "good.png").write_bytes(scan(0)[1])
  (tmp_path / "bad.png").write_bytes(b"no picture")
  code = """
import runpy, sys
class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("flax", "optax", "orbax", "research", "grain", "etils", "absl", "tokenizers", "soundfile"):
      raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
  done = subprocess.run([sys.executable, "-c", code, folder / "runtime.py", "good.png", "bad.png"], cwd=tmp_path, text=True,
                        capture_output=True)
  good, bad = map(json.loads, done.stdout.splitlines())
  bundle = runtime.load(folder)
  assert done.returncode == 1, done.stderr
  expected, = bundle.run([bundle.prepare(scan(0)[1])])
  assert [row["label"] for row in good["labels"]] == [row["label"] for row in expected["labels"]]
  np.testing.assert_allclose(good["labels"][0]["probability"], expected["labels"][0]["probability"], atol=1e-5)
  assert bad == {"input": "bad.png", "error": "no image of a known format: it begins with b'no picture'"}


@pytest.mark.parametrize("name", ["weights.safetensors", "labels.json", "functions/answer_0.stablehlo", "bundle.json",
                                  "code/research/preprocessing/arrays.py", "runtime.py"])
def test_one_changed_bit_is_refused(digits, tmp_path, name):
  folder = shutil.copytree(digits[1], tmp_path / "bundle")
  data = bytearray((folder / name).read_bytes())
  place = data.rindex(b'"kind"') + 10 if name == "bundle.json" else len(data) // 2
  data[place] ^= 1
  (folder / name).write_bytes(bytes(data))
  with pytest.raises(runtime.BundleError, match=rf"{name} has changed"):
    runtime.load(folder)


def test_a_missing_and_a_foreign_file_are_refused(digits, tmp_path):
  folder = shutil.copytree(digits[1], tmp_path / "bundle")
  (folder / "more.txt").write_text("")
  with pytest.raises(runtime.BundleError, match=r"more\.txt does not belong there"):
    runtime.load(folder)
  (folder / "more.txt").unlink()
  (folder / "labels.json").unlink()
  with pytest.raises(runtime.BundleError, match=r"labels\.json is missing"):
    runtime.load(folder)
  with pytest.raises(runtime.BundleError, match="is no bundle"):
    runtime.load(tmp_path)


def test_bundles_of_two_versions_of_the_code_live_side_by_side(digits, tmp_path):
  folder = shutil.copytree(digits[1], tmp_path / "bundle")
  path = folder / "code" / "research" / "preprocessing" / "arrays.py"
  path.write_text(path.read_text().replace("* dtype(self.factor)", "* dtype(self.factor) * 2"))
  bundles._write_spec(folder, json.loads((folder / "bundle.json").read_text()))
  x, file = scan(0)
  inputs = [runtime.load(where).prepare(file).features["inputs"] for where in (digits[1], folder)]
  np.testing.assert_allclose(inputs[0], x[0], atol=1e-6)
  np.testing.assert_allclose(inputs[1], 4 * x[0], atol=1e-6)  # two of the transforms scale


def test_a_bundle_that_answers_otherwise_is_none(digits, tmp_path, monkeypatch):
  trained = dataclasses.replace(digits[0], run=dataclasses.replace(digits[0].run, folder=digits[0].run.folder / "other"))
  monkeypatch.setattr(bundles, "store", lambda *args: {
      name: array * np.float32(1.001) for name, array in weights.store(*args).items()})
  with pytest.raises(GateError, match="no bundle was made: on 6 examples its answers differ"):
    export(trained, SETTINGS, "digits", FACTS)
  assert not (trained.run.folder / "export").exists()


def test_fewer_bits_cost_what_is_allowed_or_no_bundle_is_made(digits):
  trained = dataclasses.replace(digits[0], run=dataclasses.replace(digits[0].run, folder=digits[0].run.folder / "small"))
  trained.run.folder.mkdir()
  few = dataclasses.replace(SETTINGS, weights="int8", max_loss=0.2)
  folder = pathlib.Path(export(trained, few, "digits", FACTS))
  seen = runtime.load(folder).spec["gate"]
  assert seen["metric"] == "accuracy"
  assert seen["live"] - seen["bundle"] <= 0.2


def test_weights_of_fewer_bits_are_near():
  random = np.random.default_rng(0)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  params = {"a": {"kernel": normal(3, 40, 50), "bias": normal(50)}, "embedding": normal(70, 30)}
  for storage, error in (("float32", 0), ("bfloat16", 2**-8), ("int8", 1 / 127)):
    restored, _ = weights.restore(weights.store(params, {}, storage), params, {})
    for path, p in jax.tree_util.tree_leaves_with_path(params):
      found = restored
      for key in path:
        found = found[key.key]
      assert found.dtype == p.dtype
      assert jnp.abs(found - p).max() <= error * jnp.abs(p).max()
  stored = weights.store(params, {}, "int8")
  assert stored["params/a/kernel"].dtype == np.int8
  assert stored["params/a/kernel.scale"].shape == (3, 1, 50)
  assert stored["params/embedding.scale"].shape == (70, 1)
  assert stored["params/a/bias"].dtype == np.float32
