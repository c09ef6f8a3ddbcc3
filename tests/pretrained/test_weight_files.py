"""Files of weights: read lazily and exactly, written whole; what is wrong with one is said in one line."""

import gzip
import json
import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from etils import epath

from research.pretrained import files, keras_file, npz_file, safetensors_file
from research.pretrained.files import WeightsError, open_weights

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained"
RANDOM = np.random.default_rng(0)
ARRAYS = {"a/0": RANDOM.standard_normal((3, 4), np.float32), "a/1": np.arange(4, dtype=np.float32),
          **{f"bn/{i}": np.full(3, i + 1, np.float32) for i in range(4)}}
SUFFIXES = ["safetensors", "npz", "h5"]


def write(path: pathlib.Path, arrays=ARRAYS) -> pathlib.Path:
  target = epath.Path(path)
  match target.suffix:
    case ".safetensors":
      safetensors_file.write(target, arrays, {}, digest=False)
    case ".npz":
      npz_file.write(target, arrays)
    case ".h5":
      keras_file.write(target, arrays)
  return path


def contents(path, **kwargs) -> dict[str, np.ndarray]:
  return {name: tensor.read() for name, tensor in open_weights(path, **kwargs).tensors.items()}


def assert_equal(found, arrays=ARRAYS):
  assert set(found) == set(arrays)
  for name, array in arrays.items():
    np.testing.assert_array_equal(found[name], array, strict=True)


def refused(path, *words, **kwargs) -> str:
  """Opening and reading fails with one line that names the file and has these words."""
  with pytest.raises(WeightsError) as error:
    contents(path, **kwargs)
  text = str(error.value)
  assert "\n" not in text and all(word in text for word in (str(path), *words)), text
  return text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_files_are_read_bit_for_bit(suffix, tmp_path):
  path = write(tmp_path / f"w.{suffix}")
  assert_equal(contents(path))
  assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing half-written is left


@pytest.mark.parametrize("dtype", [*safetensors_file.DTYPES.values()])
def test_safetensors_of_every_type_and_empty_shapes(dtype, tmp_path):
  arrays = {"b": np.arange(6).reshape(2, 3).astype(dtype), "scalar": np.ones((), dtype), "none": np.zeros((0, 4), dtype)}
  assert_equal(contents(write(tmp_path / "w.safetensors", arrays)), arrays)


def test_safetensors_agree_with_the_library(tmp_path):
  library = pytest.importorskip("safetensors.numpy")
  assert_equal(library.load_file(write(tmp_path / "w.safetensors")))
  library.save_file(ARRAYS, tmp_path / "theirs.safetensors", {"format": "pt"})
  assert_equal(contents(tmp_path / "theirs.safetensors"))
  assert open_weights(tmp_path / "theirs.safetensors").metadata == {"format": "pt"}


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
  large = RANDOM.standard_normal((300, 400), np.float32)
  path = write(tmp_path / "w.npz", {**ARRAYS, "large": large})
  raw = bytearray(path.read_bytes())
  raw[raw.find(large.tobytes()) + large.nbytes // 2] ^= 1
  path.write_bytes(raw)
  tensors = open_weights(path).tensors
  assert tensors["large"].shape == (300, 400) and tensors["large"].dtype == np.float32
  np.testing.assert_array_equal(tensors["a/1"].read(), ARRAYS["a/1"])
  with pytest.raises(WeightsError, match=r"'large' is damaged"):
    tensors["large"].read()


def test_safetensors_in_shards(tmp_path):
  names = list(ARRAYS)
  shard = lambda name: "one.safetensors" if name in names[:2] else "two.safetensors"
  for file in ("one.safetensors", "two.safetensors"):
    write(tmp_path / file, {name: x for name, x in ARRAYS.items() if shard(name) == file})
  index = tmp_path / "model.safetensors.index.json"
  index.write_text(json.dumps({"weight_map": {name: shard(name) for name in names}}))
  assert_equal(contents(index))
  refused(index, "sha256", sha256="0" * 64)
  write(tmp_path / "two.safetensors", {"other": np.ones(2, np.float32)})
  refused(index, "two.safetensors", "not the file that the index means")
  (tmp_path / "two.safetensors").unlink()
  with pytest.raises(WeightsError, match=r"missing: two\.safetensors"):
    open_weights(index)
  index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
  refused(index, "does not name safetensors files beside it")
  index.write_text("{")
  refused(index, "damaged")


@pytest.mark.parametrize("name", ["keras_vgg16.h5", "keras_vgg16.weights.h5"])
def test_both_keras_forms_name_a_variable_alike(name, tmp_path):
  path = tmp_path / name
  path.write_bytes(gzip.decompress((FIXTURES / f"{name}.gz").read_bytes()))
  tensors = open_weights(path).tensors
  assert len(tensors) == 2 * 16
  assert tensors["block1_conv1/0"].shape == (3, 3, 3, 2) and tensors["predictions/1"].shape == (5,)


def test_lists_of_layers_that_keras_cut_in_pieces(tmp_path):
  h5py = pytest.importorskip("h5py")
  path = write(tmp_path / "w.h5")
  with h5py.File(path, "a") as file:
    names = list(file.attrs["layer_names"])
    del file.attrs["layer_names"]
    for i, name in enumerate(names):
      file.attrs[f"layer_names{i}"] = [name]
  assert_equal(contents(path))


def test_keras_files_that_do_not_name_their_layers(tmp_path):
  h5py = pytest.importorskip("h5py")
  with h5py.File(tmp_path / "old.weights.h5", "w") as file:
    file["layers/conv2d_1/vars/0"] = np.ones(3, np.float32)
  refused(tmp_path / "old.weights.h5", "does not say what its layers are called", "layers/conv2d_1/vars")


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_off_anywhere_is_refused(suffix, tmp_path):
  raw = write(tmp_path / f"w.{suffix}").read_bytes()
  path = tmp_path / f"cut.{suffix}"
  for length in np.linspace(0, len(raw) - 1, 6 if suffix == "h5" else 150, dtype=int):
    path.write_bytes(raw[:length])
    refused(path)
  path.write_bytes(raw + b"x" * 9)
  if suffix == "safetensors":
    refused(path, "bytes too many")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_flipped_bit_is_noticed_or_harmless(suffix, tmp_path):
  """Without a digest, safetensors and HDF5 cannot notice it in the numbers themselves; with one, it is always noticed."""
  raw = write(tmp_path / f"w.{suffix}").read_bytes()
  path = tmp_path / f"flipped.{suffix}"
  data = {i for x in ARRAYS.values() for i in range(raw.find(x.tobytes()), raw.find(x.tobytes()) + x.nbytes)}
  places = [i for i in range(len(raw)) if raw[i]]
  places = RANDOM.choice(places, 12 if suffix == "h5" else 300, replace=False)
  for place in places:
    flipped = bytearray(raw)
    flipped[place] ^= 1 << RANDOM.integers(8)
    path.write_bytes(flipped)
    refused(path, sha256=files._digest([str(tmp_path / f"w.{suffix}")]))
    try:
      found = contents(path)
    except WeightsError as error:
      assert "\n" not in str(error)
      continue
    if set(found) == set(ARRAYS) and (suffix == "npz" or place not in data):
      assert_equal(found)


def test_our_own_files_have_a_digest(tmp_path):
  path = tmp_path / "w.safetensors"
  safetensors_file.write(epath.Path(path), ARRAYS, {"format": "fieldwork"}, digest=True)
  raw = path.read_bytes()
  start = len(raw) - sum(x.nbytes for x in ARRAYS.values())
  for place in range(start, len(raw)):
    flipped = bytearray(raw)
    flipped[place] ^= 1
    path.write_bytes(flipped)
    refused(path, "not those that were written", thorough=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("named", SUFFIXES)
def test_a_file_under_another_kind_of_name(suffix, named, tmp_path):
  if suffix != named:
    path = tmp_path / f"renamed.{named}"
    write(tmp_path / f"w.{suffix}").rename(path)
    refused(path, f"rename it to *.{suffix}")


@pytest.mark.parametrize(("name", "raw", "words"), [
    ("empty.h5", b"", "is empty"),
    ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
    ("w.safetensors", b"<!DOCTYPE html><html>", "a web page"),
    ("w.safetensors", gzip.compress(b"x" * 100, mtime=0), "gzip"),
    ("pytorch_model.bin", pickle.dumps({"a": 1}), "pickle of PyTorch"),
    ("renamed.safetensors", pickle.dumps({"a": 1}), "pickle of PyTorch"),
    ("model.pt", b"PK\x03\x04" + b"x" * 100, "pickle of PyTorch"),
    ("model.pth", b"whatever it is, it is not read", "pickle of PyTorch"),
    ("model.keras", b"PK\x03\x04" + b"x" * 100, ".weights.h5"),
    ("w.npz", b"x" * 1000, "no .npz file"),
    ("w.txt", b"x" * 1000, "read are .safetensors"),
])
def test_what_is_no_file_of_weights(name, raw, words, tmp_path):
  (tmp_path / name).write_bytes(raw)
  refused(tmp_path / name, words)


def test_a_pickle_in_a_zip_that_is_called_npz(tmp_path):
  with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
    archive.writestr("archive/data.pkl", b"x")
  refused(tmp_path / "w.npz", "pickle of PyTorch")


def test_objects_in_an_npz_are_not_unpickled(tmp_path):
  np.savez(tmp_path / "w.npz", a=np.array([{}], object))
  refused(tmp_path / "w.npz", "Python objects")


def test_missing_files_and_folders(tmp_path):
  refused(tmp_path / "absent.npz", "there is no file")
  (tmp_path / "folder.npz").mkdir()
  refused(tmp_path / "folder.npz", "is a folder")


@pytest.mark.parametrize(("change", "words"), [
    (lambda h: h["a"].update(dtype="F31"), "of type 'F31'"),
    (lambda h: h["a"].update(shape=[3]), "has 8 bytes"),
    (lambda h: h["a"].update(shape=[-2]), "no proper dtype, shape"),
    (lambda h: h["a"].update(data_offsets=[4, 12]), "begins at 4"),
    (lambda h: h["b"].update(data_offsets=[4, 12]), "begins at 4"),
    (lambda h: h["b"].update(data_offsets=[8, 800], shape=[198]), "is cut off"),
    (lambda h: h.pop("b"), "bytes too many"),
    (lambda h: h.update(a=[]), "no proper dtype"),
    (lambda h: h.update(__metadata__={"x": 1}), "no texts"),
])
def test_every_demand_on_a_safetensors_header(change, words, tmp_path):
  entry = lambda *offsets: {"dtype": "F32", "shape": [2], "data_offsets": list(offsets)}
  header = {"a": entry(0, 8), "b": entry(8, 16)}
  change(header)
  text = json.dumps(header).encode()
  path = tmp_path / "w.safetensors"
  path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
  refused(path, words)


def test_a_name_twice_in_a_safetensors_header(tmp_path):
  text = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
  (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"0")
  refused(tmp_path / "w.safetensors", "a name stands twice")


def test_hdf5_that_never_comes_back_or_crashes(tmp_path, monkeypatch):
  path = write(tmp_path / "w.h5")
  for walk in ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "import time; time.sleep(60)"):
    monkeypatch.setattr(keras_file, "_WALK", walk)
    monkeypatch.setattr(keras_file, "_SECONDS", 0.5)
    refused(path, "crashes on it or does not come back")


def test_a_remote_file_is_staged_once_and_again_when_it_changed(tmp_path, monkeypatch):
  class Remote:
    """A path on a server, as epath gives it: all it has is here."""
    copies = 0

    def __init__(self, path):
      self.path, self.name = path, path.name

    def __str__(self):
      return f"gs://bucket/{self.name}"

    def stat(self):
      return epath.Path(self.path).stat()

    def is_dir(self):
      return False

    def copy(self, to, overwrite):
      Remote.copies += 1
      epath.Path(self.path).copy(to, overwrite=overwrite)

  monkeypatch.setattr(files, "CACHE", str(tmp_path / "cache"))
  remote = Remote(write(tmp_path / "w.npz"))
  for _ in range(2):
    assert_equal(contents(files._local(remote)))
  assert Remote.copies == 1
  other = {"a": np.zeros(7, ml_dtypes.float8_e5m2).astype(np.float32)}
  write(tmp_path / "w.npz", other)
  assert_equal(contents(files._local(remote)), other)
