"""The data of an experiment: opened, checked, delivered to devices, resumed."""

import itertools
import os
import pathlib
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError, from_json, leaves, override, to_json
from research.data import sources
from research.data.dataset import Data
from research.data.examples import DataError
from research.preprocessing.arrays import Cast, Noise, Select

ROOT = pathlib.Path(__file__).parents[2]
DEVICE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


@pytest.fixture
def folder(tmp_path):
  for split, count in (("train", 50), ("test", 13)):
    np.savez(tmp_path / f"{split}.npz", inputs=np.arange(count * 2.0).reshape(count, 2), labels=np.arange(count))
  return tmp_path


def data(**settings):
  return Data(**{
      "train": sources.Arrays(path="train.npz"), "evaluation": {"test": sources.Arrays(path="test.npz")},
      "transforms": (Cast(), Noise(scale=0.1), Cast(names=("labels",), dtype="int32")), "batch_size": 8,
      "eval_batch_size": 5, **settings})


def test_the_specification_is_what_is_delivered(folder):
  config = data()
  opened = config.open(folder)
  batch = next(config.training(opened, seed=0))
  shapes = lambda arrays: {name: (array.shape, array.dtype) for name, array in arrays.items()}
  assert shapes(config.spec(opened)) == shapes(batch)
  assert len(opened.train) == 50 and list(opened.evaluation) == ["test"]


def test_types_are_those_a_device_has(folder):
  config = data(transforms=())
  assert config.spec(config.open(folder))["labels"].dtype == jax.dtypes.canonicalize_dtype(np.int64)


def test_its_settings_are_flags_and_json():
  config = data()
  paths = {leaf.path for leaf in leaves(config)}
  assert {"batch_size", "train.limit", "evaluation.test.path", "transforms.1.scale", "num_threads"} <= paths
  assert from_json(to_json(config)) == config
  assert override(config, {"train.limit": "20"}).train.limit == 20


def test_the_state_is_of_the_batch_delivered_and_not_of_what_is_prefetched(folder):
  config = data()
  opened = config.open(folder)
  batches = config.training(opened, seed=1, sharding=DEVICE)
  assert batches.state() == {"next_batch": 0}
  for _ in range(9):
    next(batches)
  state = batches.state()
  assert state == {"next_batch": 9} and batches.waited > 0
  uninterrupted = list(itertools.islice(batches, 4))
  resumed = list(itertools.islice(config.training(opened, seed=1, state=state, sharding=DEVICE), 4))
  batches.restore(state)
  restored = list(itertools.islice(batches, 4))
  for a, b, c in zip(uninterrupted, resumed, restored, strict=True):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])
      np.testing.assert_array_equal(a[name], c[name])


def test_chunks_stack_batches(folder):
  config = data()
  opened = config.open(folder)
  chunk = next(config.training(opened, seed=0, chunk=3, sharding=DEVICE))
  singles = list(itertools.islice(config.training(opened, seed=0), 3))
  for name, array in chunk.items():
    np.testing.assert_array_equal(array, np.stack([b[name] for b in singles]))


def test_batches_survive_a_donating_step(folder):
  """A batch may share memory with the step's arrays: what the step donates must never be a batch's memory."""
  config = data(transforms=(Cast(),))
  opened = config.open(folder)
  step = jax.jit(lambda total, batch: total + batch["inputs"].sum(0), donate_argnums=0)
  total, expected = jnp.zeros(2), np.zeros(2, np.float64)
  kept = []
  for batch in itertools.islice(config.training(opened, seed=0, sharding=DEVICE), 40):
    total = step(total, batch)
    kept.append((batch["inputs"], np.array(batch["inputs"])))
    expected += np.array(batch["inputs"], np.float64).sum(0)
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  for array, copy in kept:
    np.testing.assert_array_equal(array, copy)


def test_evaluation_gives_each_example_once_without_noise(folder):
  config = data()
  batches = list(config.evaluating(config.open(folder), "test", sharding=DEVICE))
  mask = np.concatenate([b["mask"] for b in batches]) > 0
  assert len(batches) == 3 and mask.sum() == 13
  np.testing.assert_array_equal(np.concatenate([b["inputs"] for b in batches])[mask], np.arange(26.0).reshape(13, 2))


def test_mistakes_are_one_line(folder):
  with pytest.raises(ConfigError, match=r"data\.batch_size=64: must be from 1 to 50"):
    data(batch_size=64).open(folder)
  with pytest.raises(ConfigError, match="batch_size=0: must be 1 or more"):
    data(batch_size=0)
  with pytest.raises(ConfigError, match="max_broken_share=2"):
    data(max_broken_share=2.0)
  with pytest.raises(ConfigError, match="num_threads=0"):
    data(num_workers=1, num_threads=0)
  with pytest.raises(DataError, match=r"gone.npz does not exist"):
    data(evaluation={"test": sources.Arrays(path="gone.npz")}).open(folder)
  with pytest.raises(DataError, match="train data: Select: there is no feature 'image', only inputs, labels"):
    data(transforms=(Select(names=("image",)),), evaluation={}).open(folder)
  np.savez(folder / "other.npz", inputs=np.zeros((5, 3)), labels=np.arange(5))
  with pytest.raises(DataError, match=r"the splits differ: train has inputs float32 \(2,\).*test has .* \(3,\)"):
    data(evaluation={"test": sources.Arrays(path="other.npz")}).open(folder)


def test_only_evaluating_needs_no_training_data(folder):
  config = data(train=None)
  opened = config.open(folder)
  assert opened.train is None and config.spec(opened)["inputs"].shape == (8, 2)


def run(code, *arguments, devices=1):
  env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu",
         "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
  return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


COMMON = """
import itertools, sys
import jax, numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from research.config import ConfigError
from research.data import sources
from research.data.dataset import Data
from research.preprocessing.arrays import Noise
config = Data(train=sources.Arrays(path="train.npz"), evaluation={"test": sources.Arrays(path="test.npz")},
              transforms=(Noise(scale=.1),), batch_size=8, eval_batch_size=5)
opened = config.open(sys.argv[1])
"""


def test_several_devices_get_the_same_batches_in_parts(folder):
  process = run(COMMON + """
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)
for chunk, spec in ((1, P("data")), (3, P(None, "data"))):
  place = NamedSharding(mesh, spec)
  for ours, plain in zip(itertools.islice(config.training(opened, seed=0, chunk=chunk, sharding=place), 4),
                         config.training(opened, seed=0, chunk=chunk)):
    for name in plain:
      assert ours[name].sharding.is_equivalent_to(place, ours[name].ndim), ours[name].sharding
      np.testing.assert_array_equal(np.asarray(ours[name]), plain[name].astype(ours[name].dtype))
batches = list(config.evaluating(opened, "test", sharding=NamedSharding(mesh, P("data"))))
assert [b["mask"].shape for b in batches] == [(6,)] * 3 and sum(float(b["mask"].sum()) for b in batches) == 13
all4 = Mesh(np.array(jax.devices()[:3]), ("data",))
try:
  config.training(opened, seed=0, sharding=NamedSharding(all4, P("data")))
except ConfigError as error:
  assert "data.batch_size=8: must be divisible by 3" in str(error), error
else:
  raise SystemExit("not refused")
print("fine")
""", folder, devices=4)
  output, _ = process.communicate(timeout=120)
  assert process.returncode == 0 and "fine" in output, output


@pytest.mark.heavy
def test_two_hosts_make_one_batch(folder):
  code = """
import sys, jax
jax.distributed.initialize("127.0.0.1:" + sys.argv[3], 2, int(sys.argv[2]))
""" + COMMON + """
from jax.experimental import multihost_utils
for shape, axes in (((4,), ("data",)), ((2, 2), ("data", "tensor")), ((1, 4), ("data", "tensor"))):
  mesh = Mesh(np.array(jax.devices()).reshape(shape), axes)
  for chunk, spec in ((1, P("data")), (2, P(None, "data"))):
    batches = config.training(opened, seed=0, chunk=chunk, sharding=NamedSharding(mesh, spec))
    for ours, plain in zip(itertools.islice(batches, 3), config.training(opened, seed=0, chunk=chunk)):
      for name in plain:
        whole = multihost_utils.process_allgather(ours[name], tiled=True)
        np.testing.assert_array_equal(whole, plain[name].astype(whole.dtype))
  batches = config.evaluating(opened, "test", sharding=NamedSharding(mesh, P("data")))
  assert sum(float(b["mask"].sum()) for b in batches) == 13
print("fine")
"""
  processes = [run(code, folder, n, 21000 + os.getpid() % 9000, devices=2) for n in range(2)]
  for process in processes:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0 and "fine" in output, output
