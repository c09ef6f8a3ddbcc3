"""Every example counts once and is kept in its place, whatever the batches, the devices and the broken records."""

import dataclasses

import jax
import numpy as np
import pytest

from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.evaluation.evaluator import evaluate, make_statistics
from research.experiment import Experiment
from research.models import mlp
from research.optimizers.adam import Adam
from research.tasks.classification import Classification
from research.training import program
from research.training.settings import Training
from research.training.sharding import Sharding, batch_sharding

BROKEN = 13


class _Breaking(Columns):
  def read(self, indices):
    if BROKEN in indices:
      raise ValueError("cannot be read")
    return super().read(indices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points(Source):
  def open_all(self, data_dir):
    x = np.random.default_rng(0).normal(size=(203, 2)).astype(np.float32)
    return _Breaking({"inputs": x, "labels": (x.sum(1) > 0).astype(np.int32) + (x[:, 0] > 1)})


def evaluation(eval_batch_size: int, num_devices: int):
  task = Classification(num_classes=3, extra_metrics=("calibration_error", "balanced_accuracy"))
  data = Data(train=Points(), evaluation={"test": Points()}, batch_size=8, eval_batch_size=eval_batch_size, num_threads=0)
  experiment = Experiment(data=data, task=task, model=mlp.Config(widths=(8,)), optimizer=Adam(learning_rate=0.1),
                          training=Training(steps=Duration(1), sharding=Sharding(data=num_devices)))
  opened = data.open(None)
  mesh = experiment.training.sharding.mesh()
  made = program.build(model=experiment.model, task=task, optimizer=experiment.optimizer, training=experiment.training,
                       specs=data.specs(opened), length=experiment.length(opened), mesh=mesh)
  state = made.create(jax.random.key(0))
  batches = data.evaluating(opened, "test", sharding=batch_sharding(mesh))
  return task, evaluate(make_statistics(made.network, task, mesh), state.params, state.buffers, batches, task)


@pytest.fixture(scope="module")
def whole():
  return evaluation(203, 1)


@pytest.mark.parametrize("eval_batch_size, num_devices", [(7, 1), (203, 8), (50, 4)])
def test_batches_and_devices_change_nothing(whole, eval_batch_size, num_devices):
  _, other = evaluation(eval_batch_size, num_devices)
  assert other.num_examples == 202
  for name, value in whole[1].values.items():
    assert other.values[name] == pytest.approx(value, rel=1e-6), name
  for name, record in whole[1].records.items():
    np.testing.assert_allclose(other.records[name], record, rtol=1e-5, err_msg=name)


def test_records_are_of_the_examples_that_could_be_read_in_their_order(whole):
  _, found = whole
  np.testing.assert_array_equal(found.records["index"], np.delete(np.arange(203), BROKEN))
  np.testing.assert_array_equal(found.records["label"], Points().open_all(None)._columns["labels"][found.records["index"]])
  right = found.records["label"] == found.records["prediction"]
  assert found.values["accuracy"] == right.mean()
  assert found.values["loss"] == pytest.approx(found.records["loss"].mean(), rel=1e-6)
  assert found.values["balanced_accuracy"] == pytest.approx(
      np.mean([right[found.records["label"] == c].mean() for c in range(3)]))


def test_every_value_has_an_interval_around_it(whole):
  task, found = whole
  intervals = found.intervals(task)
  assert set(intervals) == set(found.values)
  for name in ("loss", "accuracy", "balanced_accuracy"):
    assert intervals[name][0] < found.values[name] < intervals[name][1]
