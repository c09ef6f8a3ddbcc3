"""Ragged features in buckets: nothing lost, nothing mixed up, the same whatever reads it."""

import itertools

import jax
import numpy as np
import pytest

from research.config import ConfigError, from_json, leaves, override, to_json
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.examples import Examples, warn_once
from research.data.pipeline import Pipeline
from research.data.plan import RandomBatches
from research.data.sources import Source
from research.preprocessing.arrays import Rename, Select

BUCKETS = Buckets(features=("frames", "words"), lengths=((4, 4), (8, 6), (16, 12)))


class Ragged(Examples):
  """Example n has frames (T, 2) and words (U,) filled with n + 1, T in 1..most and U in 1..12 drawn at random."""

  in_memory = True

  def __init__(self, num, most=16):
    random = np.random.RandomState(0)
    self.sizes = {"frames": random.randint(1, most + 1, num), "words": random.randint(1, 13, num)}

  def __len__(self):
    return len(self.sizes["frames"])

  @property
  def lengths(self):
    return self.sizes

  def read(self, indices):
    filled = lambda name, shape, dtype: [np.full((self.sizes[name][i], *shape), i + 1, dtype) for i in indices]
    return {"frames": filled("frames", (2,), np.float32), "words": filled("words", (), np.int32),
            "number": indices.astype(np.int32)}


class RaggedSource(Source):
  def __init__(self, num=403, most=16, **settings):
    super().__init__(**settings)
    object.__setattr__(self, "made", (num, most))

  def open_all(self, data_dir):
    return Ragged(*self.made)


def data(**settings):
  return Data(**{"train": RaggedSource(), "evaluation": {"test": RaggedSource(57)}, "batch_size": 8, "eval_batch_size": 8,
                 "buckets": BUCKETS, **settings})


def check_batch(batch, spec):
  """Every row is its own example's, whole, with zeros behind it."""
  real = batch["mask"] > 0
  assert {name: (a.shape, a.dtype) for name, a in batch.items() if name != "index"} == {
      name: (s.shape, s.dtype) for name, s in spec.items()}
  for name in ("frames", "words"):
    inside = np.arange(batch[name].shape[1]) < batch[f"{name}_length"][:, None]
    expected = inside * (batch["number"] + 1)[:, None]
    flat = batch[name][..., 0] if name == "frames" else batch[name]
    np.testing.assert_array_equal(flat, expected)
  assert not batch["frames_length"][~real].any() and (batch["frames_length"][real] > 0).all()


def take_epochs(config, opened, count, **settings):
  batches = config.training(opened, seed=3, **settings)
  out = list(itertools.islice(batches, count * config.batches_per_epoch(opened)))
  batches.close()
  return out


@pytest.fixture(scope="module")
def epochs():
  config = data()
  opened = config.open(None)
  return config, opened, take_epochs(config, opened, 2)


def test_every_example_comes_once_an_epoch_in_a_bucket_where_it_fits(epochs):
  config, opened, batches = epochs
  specs = {spec["frames"].shape[1]: spec for spec in config.specs(opened)}
  num = config.batches_per_epoch(opened)
  for batch in batches:
    check_batch(batch, specs[batch["frames"].shape[1]])
  for epoch in (batches[:num], batches[num:]):
    seen = np.concatenate([b["number"][b["mask"] > 0] for b in epoch])
    np.testing.assert_array_equal(np.sort(seen), np.arange(403))
    assert sum(not b["mask"].all() for b in epoch) == 1  # only the remainder of the longest bucket is padded
  orders = [[b["number"].tolist() for b in epoch] for epoch in (batches[:num], batches[num:])]
  assert orders[0] != orders[1]
  sizes = [b["frames"].shape[1] for b in batches[:num]]
  assert set(sizes) == {4, 8, 16} and sizes != sorted(sizes)  # the buckets are mixed, not one after the other


def test_shorter_buckets_have_as_many_more_rows_as_they_are_cheaper(epochs):
  config, opened, _ = epochs
  assert BUCKETS.rows(8) == (3 * 8, 2 * 8, 8)
  assert [spec["words"].shape for spec in config.specs(opened)] == [(24, 4), (16, 6), (8, 12)]
  assert config.spec(opened) == config.specs(opened)[-1]
  assert config.spec(opened)["frames_length"] == jax.ShapeDtypeStruct((8,), np.int32)


def test_examples_are_in_the_first_bucket_that_holds_them_but_for_the_remainders():
  lengths = Ragged(403).lengths
  bucket = BUCKETS.assign(lengths, "train", drop=False)
  for n, (frames, words) in enumerate(zip(lengths["frames"], lengths["words"])):
    assert bucket[n] == [frames <= a and words <= b for a, b in BUCKETS.lengths].index(True)
  plan, moved = BUCKETS.plan(bucket, 8, seed=0), 0
  for k in range(plan.batches_per_epoch):
    indices = plan.indices(0, k)
    moved += np.count_nonzero(bucket[indices[indices >= 0]] < plan.bucket(0, k))
  assert 0 < moved < 24 + 16


def test_threads_and_resumption_change_nothing(epochs):
  _, opened, reference = epochs
  for settings, start in (({"num_threads": 0}, 0), ({"num_threads": 4}, 7)):
    other = data(**settings)
    batches = list(itertools.islice(other.training(opened, seed=3, state={"next_batch": start}), 20))
    for a, b in zip(reference[start:], batches):
      for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("num_hosts", [2, 4])
def test_hosts_together_load_the_batch_of_one(epochs, num_hosts):
  _, opened, reference = epochs
  size = 8 // num_hosts
  plan = BUCKETS.plan(opened.bucket, 8, seed=3)
  parts = [Pipeline(opened.train, (), plan, seed=3, rows=slice(h * size, (h + 1) * size)) for h in range(num_hosts)]
  for expected in reference[:12]:
    batches = [next(part) for part in parts]
    for name, array in expected.items():
      np.testing.assert_array_equal(np.concatenate([b[name] for b in batches]), array)


def test_devices_get_whole_batches_of_every_bucket(epochs):
  config, opened, reference = epochs
  mesh = jax.sharding.Mesh(jax.devices()[:4], ("data",), axis_types=(jax.sharding.AxisType.Auto,))
  sharding = jax.sharding.NamedSharding(mesh, jax.P("data"))
  for expected, batch in zip(reference[:8], config.training(opened, seed=3, sharding=sharding)):
    assert batch["frames"].sharding.is_equivalent_to(sharding, 3)
    for name, array in expected.items():
      np.testing.assert_array_equal(array, batch[name])


def test_an_evaluation_sees_every_example_once_and_says_which(epochs):
  config, opened, _ = epochs
  specs = {spec["frames"].shape[1]: spec for spec in config.specs(opened)}
  batches = list(config.evaluating(opened, "test"))
  for batch in batches:
    check_batch(batch, specs[batch["frames"].shape[1]])
    real = batch["mask"] > 0
    np.testing.assert_array_equal(batch["index"][real], batch["number"][real])
    assert (batch["index"][~real] == -1).all()
  assert sorted(n for b in batches for n in b["index"][b["mask"] > 0].tolist()) == list(range(57))


def test_too_long_ones_are_dropped_or_truncated_and_told(caplog):
  num_long = (Ragged(403, 20).sizes["frames"] > 16).sum()
  warn_once.cache_clear()
  for longer, left in (("drop", 403 - num_long), ("truncate", 403)):
    buckets = Buckets(features=BUCKETS.features, lengths=BUCKETS.lengths, longer=longer)
    config = data(train=RaggedSource(403, 20), evaluation={"test": RaggedSource(57, 20)}, buckets=buckets)
    opened = config.open(None)
    batches = take_epochs(config, opened, 1)
    assert sum(b["mask"].sum() for b in batches) == left
    longest = max(b["frames_length"].max() for b in batches)
    assert longest == 16 or longer == "drop"
    assert sum(b["mask"].sum() for b in config.evaluating(opened, "test")) == 57
    config.open(None)
    lines = [r.getMessage() for r in caplog.records]
    assert f"train: {num_long} of 403 examples" in lines[0] and ("dropped" if longer == "drop" else "truncated") in lines[0]
    assert "test: " in lines[1] and "truncated" in lines[1] and "frames 16" in lines[1] and len(lines) == 2
    caplog.clear()
    warn_once.cache_clear()


def test_lengths_follow_transforms():
  config = data(transforms=(Rename(pairs=(("frames", "inputs"),)), Select(names=("inputs", "words"))),
                buckets=Buckets(features=("inputs",), lengths=((8,), (16,))))
  with pytest.raises(ConfigError, match=r"'words' of the test data is of unequal lengths, and no bucket"):
    config.open(None)
  config = data(transforms=(Rename(pairs=(("frames", "inputs"),)), Select(names=("inputs", "number"))),
                buckets=Buckets(features=("inputs",), lengths=((8,), (16,))))
  opened = config.open(None)
  assert sorted(opened.features) == ["inputs", "number"] and opened.features["inputs"].shape == (2,)
  assert {b["inputs"].shape for b in take_epochs(config, opened, 1)} == {(16, 8, 2), (8, 16, 2)}


def test_one_bucket_can_be_stacked():
  config = data(buckets=Buckets(features=BUCKETS.features, lengths=((16, 12),)))
  opened = config.open(None)
  chunk = next(config.training(opened, seed=0, chunk=3))
  singles = list(itertools.islice(config.training(opened, seed=0), 3))
  for name, array in chunk.items():
    np.testing.assert_array_equal(array, np.stack([b[name] for b in singles]))


def test_settings_are_flags_and_json():
  config = data(train=None, evaluation={})
  assert "buckets.lengths" in {leaf.path for leaf in leaves(config)}
  changed = override(config, {"buckets.lengths": "(2,2),(9,9)", "buckets.longer": "drop"})
  assert changed.buckets == Buckets(features=("frames", "words"), lengths=((2, 2), (9, 9)), longer="drop")
  assert from_json(to_json(changed)) == changed


def test_mistakes_are_one_line():
  def make(lengths, features=("a", "b")):
    return Buckets(features=features, lengths=lengths)
  with pytest.raises(ConfigError, match=r"\(16,\) must be 2 numbers of 1 or more, one for each of a, b"):
    make(((16,),))
  with pytest.raises(ConfigError, match=r"\(32, 4\) must be at least as long as \(16, 8\) in every feature"):
    make(((16, 8), (32, 4)))
  with pytest.raises(ConfigError, match="give at least one of each"):
    make(())
  with pytest.raises(ConfigError, match=r"2 batches at a time \(training.steps_per_call\).*3 data.buckets"):
    config = data()
    config.training(config.open(None), seed=0, chunk=2)
  with pytest.raises(ConfigError, match=r"lengths of 'labels' of the test data are not known; known are .* frames, words"):
    data(buckets=Buckets(features=("labels", "frames", "words"), lengths=((1, 1, 1),))).open(None)
  with pytest.raises(ConfigError, match="replacement=True"):
    data(replacement=True)


def test_drawing_with_replacement_needs_no_order_and_repeats_itself():
  plan = RandomBatches(10**12, 6, seed=1)
  batches = np.stack([plan.indices(e, k) for e in range(3) for k in range(50)])
  assert len(np.unique(batches)) > 890 and batches.max() > 9e11 and batches.min() < 1e11
  np.testing.assert_array_equal(plan.indices(2, 7), RandomBatches(10**12, 6, seed=1).indices(2, 7))
  small = RandomBatches(20, 10, seed=1)
  counts = np.bincount(np.concatenate([small.indices(0, k) for k in range(400)]), minlength=20)
  assert counts.min() > 140 and counts.max() < 260  # 200 expected, standard deviation 14
  assert any(len(np.unique(small.indices(0, k))) < 10 for k in range(10))
