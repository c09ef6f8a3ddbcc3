"""The same batches whatever reads them: hosts, threads, processes, chunks, resumption."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from research.data.examples import Columns, DataError, Subset
from research.data.loading import BrokenRecords, Loader
from research.data.pipeline import Pipeline, evaluation_batches
from research.data.plan import FixedBatches, InOrder
from research.data.sources import Records
from research.preprocessing.arrays import Noise, Scale
from research.preprocessing.crops import PadCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip

TRANSFORMS = (Scale(factor=0.5), Noise(scale=1.0))


def numbers(count=103):
  return Columns({"inputs": np.arange(count * 3, dtype=np.float32).reshape(count, 3), "labels": np.arange(count)})


def pipeline(examples, *, batch_size=8, seed=5, shuffle=True, transforms=TRANSFORMS, **settings):
  return Pipeline(examples, transforms, FixedBatches(len(examples), batch_size, seed=seed, shuffle=shuffle), seed=seed,
                  **settings)


def take(batches, count):
  out = list(itertools.islice(batches, count))
  batches.close()
  return out


def assert_same(ours, theirs):
  assert len(ours) == len(theirs)
  for a, b in zip(ours, theirs, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name], err_msg=name)
      assert a[name].dtype == b[name].dtype


@pytest.fixture(scope="module")
def reference():
  return take(pipeline(numbers(), num_threads=0), 40)


def test_a_batch_has_every_feature_and_a_mask(reference):
  batch = reference[0]
  assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
      "inputs": ((8, 3), "float32"), "labels": ((8,), "int64"), "mask": ((8,), "float32")}
  assert batch["mask"].all()


def test_epochs_are_different_permutations():
  batches = take(pipeline(numbers(96)), 24)
  first, second = (np.concatenate([b["labels"] for b in batches[e:e + 12]]) for e in (0, 12))
  for epoch in (first, second):
    np.testing.assert_array_equal(np.sort(epoch), np.arange(96))
  assert (first != second).any() and (first != np.arange(96)).any()


def test_the_remainder_of_an_epoch_is_left_out_and_is_another_each_epoch():
  plan = FixedBatches(103, 8, seed=0)
  assert plan.batches_per_epoch == 12
  epochs = [set(np.concatenate([plan.indices(e, k) for k in range(12)])) for e in range(3)]
  assert all(len(epoch) == 96 for epoch in epochs) and len(set(map(frozenset, epochs))) == 3


def test_the_order_of_a_seed_never_changes():
  np.testing.assert_array_equal(FixedBatches(10, 10, seed=3).indices(2, 0), [8, 1, 7, 2, 0, 3, 4, 9, 5, 6])


def test_without_shuffling_batches_are_in_the_order_of_the_data():
  batches = take(pipeline(numbers(), shuffle=False), 13)
  np.testing.assert_array_equal(batches[3]["labels"], np.arange(24, 32))
  np.testing.assert_array_equal(batches[12]["labels"], np.arange(8))


def test_seeds_differ_and_repeat():
  other, again = take(pipeline(numbers(), seed=6), 2), take(pipeline(numbers(), seed=6), 2)
  assert_same(other, again)
  assert (other[0]["labels"] != take(pipeline(numbers()), 1)[0]["labels"]).any()


def test_random_numbers_are_an_examples_own_and_new_in_each_epoch():
  """Noise is the same for an example of an epoch wherever in the order it comes, and another in the next epoch."""
  def noise(**settings):
    return {(n // 12, label): x for n, b in enumerate(take(pipeline(numbers(96), **settings), 24))
            for label, x in zip(b["labels"].tolist(), b["inputs"], strict=True)}
  ours, in_order = noise(), noise(shuffle=False)
  for key, x in ours.items():
    np.testing.assert_array_equal(x, in_order[key])
  assert all((ours[0, n] != ours[1, n]).all() for n in range(96))


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
def test_hosts_together_load_the_batch_of_one(reference, num_hosts):
  size = 8 // num_hosts
  parts = [take(pipeline(numbers(), rows=slice(h * size, (h + 1) * size)), 40) for h in range(num_hosts)]
  union = [{name: np.concatenate([part[name] for part in batch]) for name in batch[0]}
           for batch in zip(*parts, strict=True)]
  assert_same(union, reference)


@pytest.mark.parametrize("num_threads", [1, 4])
def test_threads_change_nothing(reference, num_threads):
  assert_same(take(pipeline(numbers(), num_threads=num_threads), 40), reference)


def test_worker_processes_change_nothing(reference):
  assert_same(take(pipeline(numbers(), num_threads=1, num_workers=2), 40), reference)


@pytest.mark.parametrize("chunk", [2, 5, 33])
def test_a_chunk_is_the_same_batches_stacked(reference, chunk):
  chunks = take(pipeline(numbers(), chunk=chunk), 40 // chunk)
  assert all(c["inputs"].shape == (chunk, 8, 3) and c["mask"].shape == (chunk, 8) for c in chunks)
  singles = [{name: array[n] for name, array in c.items()} for c in chunks for n in range(chunk)]
  assert_same(singles, reference[:len(singles)])


@pytest.mark.parametrize("step", [0, 1, 11, 12, 13, 25])
def test_resuming_goes_on_as_if_nothing_had_happened(reference, step):
  before = pipeline(numbers())
  take(before, step)
  state = before.state()
  assert state == {"next_batch": step}
  for settings in ({}, {"num_threads": 0}, {"chunk": 3}):
    after = pipeline(numbers(), **settings)
    after.restore(state)
    chunk = settings.get("chunk", 1)
    batches = take(after, 12 // chunk)
    assert after.state() == {"next_batch": step + 12}
    if chunk > 1:
      batches = [{name: array[n] for name, array in b.items()} for b in batches for n in range(chunk)]
    assert_same(batches, reference[step:step + 12])


def test_restoring_far_ahead_reads_nothing_in_between():
  class Counting(Columns):
    reads = 0

    def read(self, indices):
      Counting.reads += len(indices)
      return super().read(indices)

  batches = pipeline(Counting({"inputs": np.zeros((64, 2), np.float32)}), num_threads=0)
  batches.restore({"next_batch": 10**9})
  take(batches, 1)
  assert Counting.reads < 1000


def test_what_was_delivered_is_not_written_to_again():
  batches = pipeline(numbers())
  kept = list(itertools.islice(batches, 5))
  copies = [{name: array.copy() for name, array in batch.items()} for batch in kept]
  take(batches, 100)
  assert_same(kept, copies)


def test_a_batch_larger_than_the_data_is_refused():
  with pytest.raises(ValueError, match="batch_size=8: must be from 1 to 7"):
    FixedBatches(7, 8, seed=0)


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, batch_size, num_hosts", [(103, 8, 1), (103, 8, 2), (103, 8, 4), (96, 8, 2), (3, 8, 4)])
def test_evaluation_sees_every_example_once_on_as_many_batches_on_each_host(count, batch_size, num_hosts):
  size = batch_size // num_hosts
  plan = InOrder(count, batch_size)
  hosts = [list(evaluation_batches(numbers(count), TRANSFORMS, plan, rows=slice(h * size, (h + 1) * size)))
           for h in range(num_hosts)]
  assert len({len(batches) for batches in hosts}) == 1
  seen = []
  for batch in itertools.chain(*zip(*hosts, strict=True)):
    assert batch["inputs"].shape == (size, 3)
    real = batch["mask"] > 0
    np.testing.assert_array_equal(batch["index"] >= 0, real)
    np.testing.assert_array_equal(batch["labels"][real], batch["index"][real])
    assert not batch["inputs"][~real].any()
    np.testing.assert_array_equal(batch["inputs"][real][:, 0], 1.5 * batch["index"][real])  # scaled, without noise
    seen += batch["index"][real].tolist()
  assert seen == list(range(count))


def test_padding_is_in_the_plan():
  plan = InOrder(5, 4)
  assert plan.batches_per_epoch == 2
  np.testing.assert_array_equal(plan.indices(0, 1), [4, -1, -1, -1])


# --- broken records --------------------------------------------------------------------------------------------------


def write_records(path, count, broken=()):
  """Noise images (8, 8, 3) as JPEG, those in `broken` cut off in the middle."""
  rng = np.random.default_rng(0)
  records = []
  for n in range(count):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file, "JPEG")
    record = file.getvalue()
    records.append(record[:len(record) // 2] if n in broken else record)
  offsets = np.cumsum([0, *map(len, records)])
  np.savez(path, data=np.frombuffer(b"".join(records), np.uint8), offsets=offsets,
           label=np.arange(count, dtype=np.int16), key=np.array([f"image{n}.jpg" for n in range(count)]))


def test_a_broken_record_becomes_a_masked_example_and_the_others_stay_as_they_are(tmp_path, caplog):
  transforms = (DecodeImage(), PadCrop(padding=1), Flip())
  write_records(tmp_path / "whole.npz", 64)
  write_records(tmp_path / "damaged.npz", 64, broken=(0, 17))
  whole = pipeline(Records(path="whole.npz").open(tmp_path), transforms=transforms)
  damaged = pipeline(Records(path="damaged.npz").open(tmp_path), transforms=transforms, max_broken_share=0.05)
  for a, b in zip(itertools.islice(whole, 16), itertools.islice(damaged, 16), strict=True):
    bad = np.isin(a["label"], (0, 17))
    np.testing.assert_array_equal(b["mask"], 1 - bad)
    np.testing.assert_array_equal(a["inputs"][~bad], b["inputs"][~bad])
    assert not b["inputs"][bad].any() and b["inputs"].dtype == np.uint8
  assert damaged.broken.num_read == 128 and damaged.broken.num_broken == 4
  assert set(damaged.broken.first) == {"image0.jpg", "image17.jpg"}
  lines = [r.getMessage() for r in caplog.records if "could not be read" in r.getMessage()]
  assert len(lines) == 1 and "image" in lines[0] and "OSError" in lines[0]


def test_worker_processes_report_broken_records_too(tmp_path):
  write_records(tmp_path / "damaged.npz", 16, broken=(3,))
  examples = Records(path="damaged.npz").open(tmp_path)
  batches = pipeline(examples, transforms=(DecodeImage(),), num_threads=1, num_workers=1)
  take(batches, 2)
  assert list(batches.broken.first) == ["image3.jpg"]


def test_too_many_broken_records_are_an_error_that_names_some(tmp_path):
  write_records(tmp_path / "damaged.npz", 64, broken=(1, 17))
  batches = pipeline(Records(path="damaged.npz").open(tmp_path), transforms=(DecodeImage(),))
  with pytest.raises(DataError, match=r"of 104 examples could not be read: image\d+.jpg \(.*allowed is a share of"):
    take(batches, 30)


def test_an_evaluation_with_broken_records_masks_and_counts_them(tmp_path):
  write_records(tmp_path / "damaged.npz", 13, broken=(12,))
  broken = BrokenRecords(0.5)
  examples = Records(path="damaged.npz").open(tmp_path)
  batches = list(evaluation_batches(examples, (DecodeImage(),), InOrder(13, 4), broken=broken))
  assert sum(b["mask"].sum() for b in batches) == 12
  assert batches[3]["inputs"].shape == (4, 8, 8, 3) and not batches[3]["mask"].any()
  assert (broken.num_read, broken.num_broken) == (13, 1)


def test_nothing_that_can_be_loaded_is_an_error_at_once(tmp_path):
  write_records(tmp_path / "damaged.npz", 20, broken=range(20))
  with pytest.raises(DataError, match=r"none of the first 10 examples can be loaded; image9\.jpg: OSError"):
    Loader(Records(path="damaged.npz").open(tmp_path), (DecodeImage(),), None)


def test_an_example_of_another_shape_is_a_broken_one():
  class Odd(Columns):
    in_memory = False

    def read(self, indices):
      return {"inputs": [np.zeros((3, 3) if i == 2 else (2, 2), np.float32) for i in indices]}

  features, broken = Loader(Odd({"x": np.zeros(5)}), (), None).load(np.arange(5), np.zeros(5, int))
  np.testing.assert_array_equal(features["mask"], [1, 1, 0, 1, 1])
  assert broken[0].key == "2" and "(3, 3)" in broken[0].error


def test_a_feature_that_is_no_number_is_refused_by_name():
  with pytest.raises(DataError, match=r"feature 'text' is no number.*leave it out with Select"):
    Loader(Columns({"text": ["a", "b"]}), (), None)


def test_a_subset_reads_its_examples_only():
  subset = Subset(numbers(10), np.array([7, 2]))
  assert len(subset) == 2 and subset.key(1) == "2"
  np.testing.assert_array_equal(subset.read(np.array([1, 0]))["labels"], [2, 7])
