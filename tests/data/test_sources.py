"""Files as they should be are read; missing and damaged ones are one clear line."""

import gzip
import json
import pathlib

import numpy as np
import pytest

from research.config import from_json, to_json
from research.data import sources
from research.data.examples import DataError
from research.preprocessing.decoding import DecodeImage


def refused(source, folder, *words):
  with pytest.raises(DataError) as error:
    source.open(folder)
  message = str(error.value)
  assert "\n" not in message and all(word in message for word in words), message


def truncate(path: pathlib.Path, share: float = 0.5) -> None:
  whole = path.read_bytes()
  path.write_bytes(whole[:int(len(whole) * share)])


def records(path, **changes):
  arrays = {"data": np.frombuffer(b"abbccc", np.uint8), "offsets": np.array([0, 1, 3, 6]), "label": np.array([5, 6, 7])}
  np.savez(path, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_arrays_are_features(tmp_path):
  np.savez(tmp_path / "a.npz", image=np.arange(12).reshape(6, 2), label=np.arange(6))
  np.save(tmp_path / "b.npy", np.arange(4.0))
  examples = sources.Arrays(path="a.npz").open(str(tmp_path))
  read = examples.read(np.array([4, 1]))
  np.testing.assert_array_equal(read["image"], [[8, 9], [2, 3]])
  np.testing.assert_array_equal(read["label"], [4, 1])
  assert len(examples) == 6 and examples.key(3) == "3"
  np.testing.assert_array_equal(sources.Arrays(path="b.npy").open(tmp_path).read(np.array([2]))["b"], [2.0])


def test_skip_and_limit_cut_a_part_out(tmp_path):
  np.savez(tmp_path / "a.npz", label=np.arange(10))
  part = sources.Arrays(path="a.npz", skip=7, limit=2).open(tmp_path)
  assert len(part) == 2
  np.testing.assert_array_equal(part.read(np.arange(2))["label"], [7, 8])
  assert len(sources.Arrays(path="a.npz", limit=99).open(tmp_path)) == 10
  refused(sources.Arrays(path="a.npz", skip=10), tmp_path, "skip=10 leaves none of the 10 examples")
  with pytest.raises(ValueError, match="limit 1 or more"):
    sources.Arrays(path="a.npz", limit=0)


def test_a_missing_file_says_where_to_put_it(tmp_path):
  refused(sources.Arrays(path="images/x.npz"), tmp_path, str(tmp_path / "images/x.npz"), "does not exist", "--data_dir")
  refused(sources.JSONL(path="x.jsonl"), None, "x.jsonl is needed: give --data_dir")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_array_file(tmp_path, share):
  np.savez_compressed(tmp_path / "a.npz", image=np.random.default_rng(0).random((50, 50)))
  np.save(tmp_path / "b.npy", np.zeros(100))
  for name in ("a.npz", "b.npy"):
    truncate(tmp_path / name, share)
    refused(sources.Arrays(path=name), tmp_path, name, "damaged")


def test_a_flipped_byte_is_noticed(tmp_path):
  np.savez(tmp_path / "a.npz", image=np.zeros(10000, np.uint8))
  damaged = bytearray((tmp_path / "a.npz").read_bytes())
  damaged[5000] ^= 1
  (tmp_path / "a.npz").write_bytes(damaged)
  refused(sources.Arrays(path="a.npz"), tmp_path, "a.npz", "damaged")


def test_arrays_of_different_lengths(tmp_path):
  np.savez(tmp_path / "a.npz", image=np.zeros((3, 2)), label=np.zeros(4))
  refused(sources.Arrays(path="a.npz"), tmp_path, "a.npz", "different lengths", "image 3", "label 4")
  np.savez(tmp_path / "b.npz", image=np.zeros((3, 2)), version=np.array(1))
  refused(sources.Arrays(path="b.npz"), tmp_path, "'version' is a scalar")


def test_pickled_objects_are_not_loaded(tmp_path):
  np.savez(tmp_path / "a.npz", image=np.array([{"a": 1}, None], object))
  refused(sources.Arrays(path="a.npz"), tmp_path, "a.npz")


# --- records ---------------------------------------------------------------------------------------------------------


def test_records_are_bytes_with_their_columns(tmp_path):
  records(tmp_path / "r.npz", key=np.array(["x", "y", "z"]))
  examples = sources.Records(path="r.npz").open(tmp_path)
  read = examples.read(np.array([2, 0]))
  assert read["record"] == [b"ccc", b"a"] and read["label"].tolist() == [7, 5]
  assert len(examples) == 3 and examples.key(1) == "y"
  records(tmp_path / "bytes.npz", key=np.array([b"x", "ÿ".encode(), b"\xff"]))
  assert [sources.Records(path="bytes.npz").open(tmp_path).key(i) for i in range(3)] == ["x", "ÿ", "\ufffd"]


def test_records_take_columns_from_the_lines_beside_them(tmp_path):
  records(tmp_path / "r.npz", label=None)
  rows = [{"id": f"u{n}", "text": "ab"[:n], "seconds": n / 2} for n in range(3)]
  (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  examples = sources.Records(path="r.npz").open(tmp_path)
  read = examples.read(np.array([2]))
  assert read["text"] == ["ab"] and read["seconds"].tolist() == [1.0] and examples.key(2) == "u2"
  (tmp_path / "r.jsonl").write_text(json.dumps(rows[0]) + "\n")
  refused(sources.Records(path="r.npz"), tmp_path, "r.npz", "3 records, but 1 entries of 'id'")


@pytest.mark.parametrize("changes, word", [
    ({"offsets": None}, "no array offsets"), ({"offsets": np.array([0, 3, 1, 6])}, "offsets must rise"),
    ({"offsets": np.array([0, 1, 3, 60])}, "offsets reach 60"), ({"label": np.arange(2)}, "2 entries of 'label'"),
    ({"offsets": np.zeros(0, int)}, "offsets must rise")])
def test_a_damaged_record_file(tmp_path, changes, word):
  records(tmp_path / "r.npz", **changes)
  refused(sources.Records(path="r.npz"), tmp_path, "r.npz", word)


# --- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, opener", [("a.jsonl", open), ("a.jsonl.gz", gzip.open)])
def test_lines_are_examples(tmp_path, name, opener):
  with opener(tmp_path / name, "wt", encoding="utf-8") as file:
    file.write('{"text": "Grüße", "label": 1}\n{"text": "b", "label": 0}\n')
  examples = sources.JSONL(path=name).open(tmp_path)
  read = examples.read(np.array([0, 1, 0]))
  assert read["text"] == ["Grüße", "b", "Grüße"] and read["label"].tolist() == [1, 0, 1]


@pytest.mark.parametrize("text, words", [
    ('{"a": 1}\n{"a": \n', ("line 2", "no JSON")), ('{"a": 1}\n{"b": 1}\n', ("line 2", "fields a")),
    ('[1, 2]\n', ("line 1", "no object")), ("", ("is empty",)), ('{"a": 1}\n\n', ("line 2",))])
def test_a_damaged_line_is_named(tmp_path, text, words):
  (tmp_path / "a.jsonl").write_text(text)
  refused(sources.JSONL(path="a.jsonl"), tmp_path, "a.jsonl", *words)


def test_truncated_gzip(tmp_path):
  with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
    file.writelines(json.dumps({"a": str(np.random.default_rng(n).random())}) + "\n" for n in range(500))
  truncate(tmp_path / "a.jsonl.gz")
  refused(sources.JSONL(path="a.jsonl.gz"), tmp_path, "a.jsonl.gz", "damaged after line")
  (tmp_path / "b.jsonl.gz").write_text("no gzip")
  refused(sources.JSONL(path="b.jsonl.gz"), tmp_path, "b.jsonl.gz", "damaged")


# --- settings, names of classes --------------------------------------------------------------------------------------


def test_a_source_is_configuration():
  source = sources.Records(path="a.npz", limit=5)
  assert from_json(to_json(source)) == source


def test_records_with_named_classes(tmp_path):
  records(tmp_path / "r.npz")
  source = sources.Records(path="r.npz")
  assert source.class_names(tmp_path) is None and sources.JSONL(path="x.jsonl").class_names(tmp_path) is None
  (tmp_path / "classes.json").write_text('["cat", "dog"]')
  assert source.class_names(tmp_path) == ("cat", "dog") == sources.JSONL(path="x.jsonl").class_names(tmp_path)
  for wrong in ('["cat"', '{"0": "cat"}', "[0, 1]"):
    (tmp_path / "classes.json").write_text(wrong)
    with pytest.raises(DataError, match=r"classes\.json is damaged"):
      source.class_names(tmp_path)


# --- real data -------------------------------------------------------------------------------------------------------


def test_real_images(data_dir):
  mnist = sources.Arrays(path="images/mnist/test.npz").open(data_dir)
  assert len(mnist) == 10000 and mnist.read(np.array([0]))["image"].shape == (1, 28, 28)
  cifar = sources.Records(path="images/cifar10/test.npz").open(data_dir)
  images = DecodeImage()(cifar.read(np.arange(4)), None)["inputs"]
  assert len(cifar) == 10000 and images[0].shape == (32, 32, 3) and cifar.key(0) != "0"


def test_real_speech_and_text(data_dir):
  speech = sources.Records(path="speech/yesno/test.npz").open(data_dir)
  read = speech.read(np.array([0]))
  assert len(speech) == 29 and set(read["text"][0].split()) <= {"YES", "NO"} and read["record"][0][:4] == b"fLaC"
  text = sources.JSONL(path="text/trec/test.jsonl.gz").open(data_dir)
  assert len(text) == 500 and text.read(np.arange(2))["label"].shape == (2,)
