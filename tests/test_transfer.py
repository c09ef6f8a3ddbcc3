"""Pretrained weights in a training run: they are where it begins, frozen ones stay, features are computed once."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from flax import nnx
from twins import Patterns

from research import rules
from research.assessment import Assessment
from research.augmentation import normalize
from research.config import Duration
from research.data.dataset import Data
from research.experiment import Experiment
from research.features import Features
from research.fit import Fit
from research.models import vgg
from research.modes.base import Context
from research.optimizers.adam import Adam
from research.preprocessing.arrays import Rename
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.pretrained.files import WeightsError
from research.pretrained.weights import Pretrained, export
from research.tasks.classification import Classification
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.state import split
from research.workdir import Run

CHANNELS = (4, 4, 8, 8, 8)
SOURCE = Patterns(num=64, num_classes=4, shape=(32, 32, 3), image="record", label="label")
TRANSFORMS = (DecodeImage(), Rename(pairs=(("label", "labels"),)), Flip())


def network(**changes):
  return vgg.vgg16(**{"channels": CHANNELS, "widths": (16,), "dropout": 0.0, **changes})


@pytest.fixture
def weights(tmp_path):
  """A Keras file of another task's network, and its parameters."""
  config = network(widths=(12, 12))
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  _, params, buffers = split(config.build(images, 10, nnx.Rngs(7)))
  export(tmp_path / "other.h5", config.tables()["keras"], params, buffers)
  return rules.paths(params)


def data(**changes):
  return Data(**{"train": SOURCE, "evaluation": {"test": SOURCE}, "transforms": TRANSFORMS, "on_device": (normalize.caffe(),),
                 "batch_size": 16, "eval_batch_size": 32, **changes})


def recipe(**changes):
  return Experiment(**{
      "data": data(), "task": Classification(num_classes=4), "model": network(),
      "pretrained": Pretrained(path="other.h5", names="keras", fresh=("fc1/.*", "head/.*"), unused=("fc2/.*",)),
      "optimizer": Adam(learning_rate=1e-3, learning_rate_rules=(("block.*", 0.0), (".*", 1.0))),
      "training": Training(steps=Duration(6)), **changes})


@contextlib.contextmanager
def fitted(experiment, folder):
  (folder / "run").mkdir()
  with Interruption() as interruption:
    yield Fit(experiment, 0, Run(epath.Path(folder / "run"), epath.Path(folder), interruption))


def test_a_frozen_base_keeps_the_weights_of_the_file(weights, tmp_path):
  experiment = recipe()
  experiment.check(str(tmp_path))
  with fitted(experiment, tmp_path) as fit:
    before = jax.device_get(rules.paths(fit.resume()[0].params))
    after = jax.device_get(rules.paths(fit.train()[0].params))
  for path, value in after.items():
    if path.startswith("block"):
      np.testing.assert_array_equal(value, weights[path])
    else:
      assert np.any(value != before[path]), path


@pytest.mark.heavy
def test_without_rules_all_of_it_learns(weights, tmp_path):
  with fitted(recipe(optimizer=Adam(learning_rate=1e-3)), tmp_path) as fit:
    after = jax.device_get(rules.paths(fit.train()[0].params))
  assert all(np.any(after[path] != weights[path]) for path in after if path.startswith("block"))


def test_a_file_that_does_not_fit_is_refused_before_a_device_works(weights, tmp_path):
  with pytest.raises(WeightsError, match="does not fit the network"):
    recipe(model=network(channels=(4, 4, 8, 8, 16))).check(str(tmp_path))
  with pytest.raises(WeightsError, match="there is no file"):
    recipe(pretrained=Pretrained(path="none.h5", names="keras")).check(str(tmp_path))


def test_features_are_what_the_head_sees(weights, tmp_path):
  config = network(widths=(12, 12))
  features = Features(source=SOURCE, transforms=TRANSFORMS, on_device=(normalize.caffe(),), model=config, num_outputs=10,
                      pretrained=Pretrained(path="other.h5", names="keras"), batch_size=24)
  examples = features.open(str(tmp_path))
  found = examples.read(np.arange(len(examples)))
  opened = data().open(str(tmp_path))
  batch = next(data(eval_batch_size=64).evaluating(opened, "test"))
  network_ = config.build(jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32), 10, nnx.Rngs(0))
  definition, params, buffers = split(network_)
  params, buffers, _ = features.pretrained.load(str(tmp_path), config, params, buffers)
  expected = nnx.merge(definition, params, buffers).features(normalize.caffe()(batch, None)["inputs"])
  assert len(examples) == 64
  np.testing.assert_allclose(found["inputs"], expected, rtol=1e-4, atol=1e-4)
  np.testing.assert_array_equal(found["labels"], batch["labels"])


def test_an_assessment_scores_the_weights_of_the_file(weights, tmp_path):
  assessed = Assessment(data=data(train=None), task=Classification(num_classes=10), model=network(widths=(12, 12)),
                        pretrained=Pretrained(path="other.h5", names="keras"))
  assessed.check(str(tmp_path))
  (tmp_path / "run").mkdir()
  with Interruption() as interruption:
    run = Run(epath.Path(tmp_path / "run"), epath.Path(tmp_path), interruption)
    found, again = assessed.measure(0, run), assessed.evaluate(0, run)
  assert found.metrics == again.metrics and 0 <= found.metrics["test/accuracy"] <= 1
  assert found.signatures["test/accuracy"] == "top1" and found.figures
  # What was never run can be exported and asked all the same: there is nothing to train first.
  with Interruption() as interruption:
    context = Context(name="assessed", summary="", experiment=assessed, default=assessed, seeds=(0,), data_dir=run.data_dir,
                      workdir=str(tmp_path / "new"), member=None, interruption=interruption)
    assert context.trained().run.folder == context.finished()[1].folder == epath.Path(tmp_path / "new")
