"""airbench's network: sizes, the whitening layer, the identity at the start; and a run that begins with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from flax import nnx
from twins import Patterns

from research import rules
from research.augmentation import normalize
from research.augmentation.views import ShiftedMirrors
from research.config import ConfigError, Duration
from research.data.dataset import Data
from research.experiment import Experiment
from research.fit import Fit
from research.models import airbench
from research.optimizers.descent import GradientDescent
from research.preprocessing.arrays import Rename
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.tasks.classification import Classification
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.state import split
from research.workdir import Run

SMALL = airbench.Config(widths=(16, 16), num_examples=40)


def test_its_size_is_the_published():
  _, params, _ = jax.eval_shape(lambda: split(airbench.Config().build(jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32), 10,
                                                                      nnx.Rngs(0))))
  assert sum(p.size for p in jax.tree.leaves(params)) == 1_971_640  # "1.97M" in the paper


def test_whitened_patches_are_white():
  images = np.random.default_rng(0).normal(size=(300, 12, 12, 3)).astype(np.float32)
  images[:, 1:] += images[:, :-1]  # neighbours resemble each other
  make = lambda: split(SMALL.build(jax.ShapeDtypeStruct((1, 12, 12, 3), jnp.float32), 10, nnx.Rngs(0)))
  definition, _, buffers = jax.eval_shape(make)
  params, buffers = jax.jit(lambda: make()[1:])()
  adapted = SMALL.adapt(params, images)
  whiten = jax.jit(lambda params: nnx.merge(definition, params, buffers).whitening(images))
  patches = np.asarray(whiten(adapted)).reshape(-1, 24)
  moments = patches.T @ patches / len(patches)
  np.testing.assert_allclose(moments[:12, :12], np.eye(12), atol=2e-3)  # off by the eps under the root
  np.testing.assert_array_equal(patches[:, 12:], -patches[:, :12])
  lengths = np.linalg.norm(np.asarray(adapted["whitening"]["kernel"])[..., :12].reshape(12, 12), axis=0)
  assert np.all(np.diff(lengths) >= 0)  # the largest variance first
  np.testing.assert_array_equal(adapted["head"]["kernel"], params["head"]["kernel"])


def test_the_first_outputs_of_a_convolution_are_its_inputs():
  x = np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)
  y = jax.jit(lambda: airbench.Group(SMALL, 4, 6, dtype=jnp.float32, rngs=nnx.Rngs(0)).first(x))()
  np.testing.assert_allclose(y[..., :4], x, atol=1e-6)
  assert np.abs(y[..., 4:]).max() > 0.1


def test_too_small_images_are_refused():
  with pytest.raises(ConfigError, match="halve"):
    airbench.Config().build(jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32), 10, nnx.Rngs(0))
  with pytest.raises(ConfigError, match="patch"):
    airbench.Config(patch=0)


@pytest.mark.heavy
def test_a_run_begins_with_the_first_examples_as_they_are(tmp_path):
  """Not mirrored, normalised, one view each; and a run that goes on does not begin again."""
  source = Patterns(num=64, num_classes=4, shape=(16, 16, 3), image="record", label="label")
  data = Data(train=source, evaluation={"test": source}, batch_size=32, eval_batch_size=64,
              transforms=(DecodeImage(), Rename(pairs=(("label", "labels"),)), Flip(alternating=True)),
              on_device=(normalize.signed(), ShiftedMirrors()))
  experiment = Experiment(
      data=data, task=Classification(num_classes=4, view_mean="logit", protocol="shifted"), model=SMALL,
      optimizer=GradientDescent(learning_rate=0.1, learning_rate_rules=(("whitening/kernel", 0.0), (".*", 1.0))),
      training=Training(steps=Duration(4), average_decay=0.5, evaluate_every=Duration(0)))
  (tmp_path / "run").mkdir()
  with Interruption() as interruption:
    run = Run(epath.Path(tmp_path / "run"), None, interruption)
    fit = Fit(experiment, 0, run)
    state, _ = fit.resume()
    images = np.stack(DecodeImage()(source.open(None).read(np.arange(40)), None)["inputs"]) / 127.5 - 1
    expected = SMALL.adapt(jax.tree.map(np.asarray, state.params), images)["whitening"]["kernel"]
    np.testing.assert_allclose(state.params["whitening"]["kernel"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(state.average["whitening"]["kernel"], state.params["whitening"]["kernel"])
    found = fit.findings(*fit.train())
    assert found.signatures["test/accuracy"] == "top1|shifted|mean:logit"
    changed = dataclasses.replace(experiment, model=dataclasses.replace(SMALL, num_examples=8))
    kept = rules.paths(Fit(changed, 0, run).resume()[0].params)
    np.testing.assert_allclose(kept["whitening/kernel"], expected, rtol=1e-4, atol=1e-4)
