"""Training as a whole, in this process: every family learns, and what is evaluated at the end is what was asked for."""

import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from research.config import Duration, override
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.mnist1d import MNIST1D
from research.data.sources import Source
from research.experiment import Comparison, Experiment, sweep
from research.fit import Fit
from research.models import cnn, gru, linear, mlp, transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adam import Adam
from research.optimizers.descent import GradientDescent
from research.optimizers.sam import SAM
from research.preprocessing.arrays import Cast, Reshape
from research.tasks.classification import Classification
from research.tasks.regression import Regression
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.sharding import Sharding
from research.training.stopping import Stopping
from research.workdir import Run


@pytest.fixture
def run(tmp_path):
  with Interruption() as interruption:
    yield Run(epath.Path(tmp_path), None, interruption)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rings(Source):
  """Points in the plane, labelled by whether they lie far from the origin: no line separates them."""

  seed: int

  def open_all(self, data_dir):
    x = np.random.default_rng(self.seed).normal(size=(512, 2)).astype(np.float32)
    return Columns({"inputs": x, "labels": (np.sum(x**2, 1) > 1.4).astype(np.int32)})


def recipe(**changes) -> Experiment:
  training = Training(steps=Duration(120), evaluate_every=Duration(20), save_every=Duration(20), sharding=Sharding(data=1))
  base = Experiment(
      data=Data(train=Rings(seed=0), evaluation={"test": Rings(seed=1)}, batch_size=64), task=Classification(num_classes=2),
      model=mlp.Config(widths=(16,)), optimizer=Adam(learning_rate=0.02), training=training)
  return dataclasses.replace(base, **changes)


def trained(changes) -> Experiment:
  base = recipe()
  return dataclasses.replace(base, training=dataclasses.replace(base.training, **changes))


SIGNALS = Data(train=MNIST1D(split="train", num_samples=1000, num_train=800),
               evaluation={"test": MNIST1D(split="test", num_samples=1000, num_train=800)},
               transforms=(Cast(),), batch_size=100)
PATCHES = dataclasses.replace(SIGNALS, transforms=(Cast(), Reshape(shape=(10, 4))))
FAMILIES = {
    "linear": (linear.Config(), SIGNALS, 0.2),
    "mlp": (mlp.Config(widths=(100, 100), residual=True), SIGNALS, 0.4),
    "cnn": (cnn.Config(channels=(25, 25), kernels=(5, 3), strides=(2, 2), paddings=(1, 1), batch_norm=True), SIGNALS, 0.5),
    "gru": (gru.Config(width=16), SIGNALS, 0.35),
    "transformer": (transformer.Config(block=BlockConfig(dim=32, num_heads=4, mlp_dim=64), causal=False, pool="mean"), PATCHES,
                    0.35),
}


# A Transformer learns in tests/test_text_runs.py too, and the GRU's curve is in tests/test_golden.py.
@pytest.mark.parametrize("family", [pytest.param(name, marks=pytest.mark.heavy if name in ("gru", "transformer") else ())
                                    for name in FAMILIES])
def test_every_family_learns(run, family):
  model, data, least = FAMILIES[family]
  experiment = recipe(data=data, model=model, task=Classification(num_classes=10), optimizer=Adam(learning_rate=5e-3),
                      training=Training(steps=Duration(400), evaluate_every=Duration(0), sharding=Sharding(data=1)))
  found = experiment.measure(0, run)
  low, high = found.intervals["test/accuracy"]
  assert low <= found.metrics["test/accuracy"] <= high
  assert found.metrics["test/accuracy"] > least  # chance is 0.1
  assert found.signatures["test/accuracy"] == "top1"


def test_regression_finds_the_least_squares_line(run):
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Line(Source):
    def open_all(self, data_dir):
      x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
      return Columns({"inputs": x, "targets": 3 * x - 1})

  experiment = recipe(data=Data(train=Line(), evaluation={"test": Line()}, batch_size=64), task=Regression(),
                      model=linear.Config(), optimizer=GradientDescent(learning_rate=0.5))
  state, _ = Fit(experiment, 0, run).train()
  np.testing.assert_allclose(state.params["head"]["kernel"], [[3]], atol=1e-5)
  np.testing.assert_allclose(state.params["head"]["bias"], [-1], atol=1e-5)


def test_sharpness_aware_steps_take_the_gradient_elsewhere(run):
  plain, aware = (Fit(recipe(optimizer=o), 0, run.child(n)).train()[0].params for n, o in (
      ("plain", GradientDescent(learning_rate=0.1)), ("aware", SAM(base=GradientDescent(learning_rate=0.1), radius=0.05))))
  gap = max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(aware)))
  assert 1e-4 < gap < 1


def test_the_same_seed_gives_the_same_run_and_another_another(run):
  params = [Fit(recipe(), seed, run.child(name)).train()[0].params for name, seed in (("a", 0), ("b", 0), ("c", 1))]
  first, again, other = (np.concatenate([np.ravel(p) for p in jax.tree.leaves(tree)]) for tree in params)
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 0.01


def test_the_best_checkpoint_is_kept_and_evaluated(run):
  experiment = trained({"best_metric": "test/loss", "evaluate_with": "best", "keep_last": 1})
  fit = Fit(experiment, 0, run)
  state, facts = fit.train()
  found = fit.findings(state, facts)
  assert fit.watch.best_step in fit.checkpoints.steps()
  assert found.metrics["test/loss"] == pytest.approx(fit.watch.best, rel=1e-6)


def test_moving_and_checkpoint_averages_are_averages(run):
  fit = Fit(trained({"average_decay": 0.9, "evaluate_with": "average"}), 0, run.child("moving"))
  state, _ = fit.train()
  assert fit.chosen(state)[0] is state.average
  fit = Fit(trained({"evaluate_with": "checkpoints", "keep_last": 3}), 0, run.child("checkpoints"))
  state, _ = fit.train()
  saved = [fit.checkpoints.restore(step, fit.program.abstract)[0].params["head"]["kernel"] for step in (80, 100, 120)]
  np.testing.assert_allclose(fit.chosen(state)[0]["head"]["kernel"], np.mean(saved, 0), rtol=1e-6)


def test_a_plateau_ends_the_run_and_the_findings_say_so(run):
  rules = Stopping(relative_improvement=0.5, window=3)
  experiment = trained({"steps": Duration(2000), "log_every": Duration(10), "stopping": rules})
  found = experiment.measure(0, run)
  assert "fell by less than 0.5" in found.stopped


def test_a_sweep_is_a_list_of_overrides(run):
  base = recipe()
  changes = [{}, {"optimizer.learning_rate": 1e-4}]
  compared = sweep(base, changes, paper=None, targets=())
  assert isinstance(compared, Comparison)
  assert compared.members["optimizer.learning_rate=0.0001"] == override(base, changes[1])
  found = compared.measure(0, run)
  assert found.metrics["recipe/test/accuracy"] > found.metrics["optimizer.learning_rate=0.0001/test/accuracy"]
