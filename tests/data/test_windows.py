"""Windows for language models: no token lost, none mixed up, each scored once."""

import itertools
import json

import numpy as np
import pytest

from research.config import ConfigError
from research.data.dataset import Data
from research.data.examples import DataError
from research.data.sources import JSONL
from research.data.text import TextFile
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Bytes, Trained
from research.data.windows import TokenWindows, best_fit, pieces
from research.preprocessing.text.training import Characters

RANDOM = np.random.RandomState(0)
TEXTS = ["".join(RANDOM.choice(list("abcdefgh"), size)) for size in [*RANDOM.randint(1, 12, 30), 0, 50, 33]]
STREAM = [i for text in TEXTS for i in [*text.encode(), 258]]
DOCUMENT = [n for n, text in enumerate(TEXTS) for _ in range(len(text) + 1)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
  return tmp_path


def windows(length, **settings):
  source = Tokenized(source=JSONL(path="texts.jsonl"), features=(Tokens(name="ids", text="text", tokenizer=Bytes(), eos=True),))
  return TokenWindows(source=source, length=length, **settings)


def read(folder, source):
  examples = source.open(folder)
  found = examples.read(np.arange(len(examples)))
  assert {(name, a.dtype.name) for name, a in found.items()} == {
      ("inputs", "int32"), ("targets", "int32"), ("segments", "int32"), ("weights", "float32"), ("bytes", "float32"),
      ("words", "float32")}
  return found


@pytest.mark.parametrize("length, stride", [(16, None), (16, 16), (16, 5), (7, 1), (len(STREAM) - 1, None), (1000, None)])
def test_a_stream_is_cut_at_every_stride(folder, length, stride):
  found = read(folder, windows(length, stride=stride))
  num = len(found["inputs"])
  assert num == 1 + max(-(-(len(STREAM) - 1 - length) // (stride or length)), 0)
  for n in range(num):
    start = n * (stride or length)
    inputs, targets = STREAM[start:start + length], STREAM[start + 1:start + length + 1]
    real = len(targets)
    np.testing.assert_array_equal(found["inputs"][n, :real], inputs[:real])
    np.testing.assert_array_equal(found["targets"][n, :real], targets)
    documents = np.array(DOCUMENT[start:start + real])
    np.testing.assert_array_equal(found["segments"][n, :real], documents - documents[0] + 1)
    np.testing.assert_array_equal(found["weights"][n], np.arange(length) < real)
    assert not any(found[name][n, real:].any() for name in ("inputs", "targets", "segments", "weights"))
    assert real == length or n == num - 1


@pytest.mark.parametrize("length, stride", [(16, 16), (16, 5), (16, 15), (9, 1)])
def test_overlapping_windows_score_every_target_once(folder, length, stride):
  found = read(folder, windows(length, stride=stride, scored="new"))
  scored = [target for targets, weights in zip(found["targets"], found["weights"]) for target, w in zip(targets, weights) if w]
  assert scored == STREAM[1:]


def test_best_fit_keeps_documents_whole_and_apart(folder):
  found = read(folder, windows(16, packing="best_fit"))
  shown = lambda ids: bytes(i if i < 256 else ord("|") for i in ids).decode()
  packed = []
  for inputs, targets, segments in zip(found["inputs"], found["targets"], found["segments"]):
    assert sorted(segments[segments > 0]) == segments[segments > 0].tolist()  # documents follow each other, then padding
    for segment in range(1, segments.max() + 1):
      inside = segments == segment
      np.testing.assert_array_equal(inputs[inside][1:], targets[inside][:-1])
      packed.append(shown([inputs[inside][0], *targets[inside]]))
  expected = []
  for text in TEXTS:
    whole = text + "|"
    expected += [whole[at:at + 17] for at in range(0, max(len(whole) - 1, 1), 16)] if len(whole) > 1 else []
  assert sorted(packed) == sorted(expected)
  np.testing.assert_array_equal(found["weights"], found["segments"] > 0)
  assert found["weights"].mean() > 0.95 and (found["weights"].sum(1) < 16).sum() < 3


@pytest.mark.parametrize("settings", [{}, {"stride": 5, "scored": "new"}, {"packing": "best_fit"}], ids=("all", "new", "fit"))
def test_all_windows_together_have_all_bytes_and_words(folder, settings):
  texts = ["ä b", "", "one two  three", "x" * 40, "é\nü"]
  (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
  found = read(folder, windows(8, **settings))
  np.testing.assert_allclose(found["bytes"].sum(), sum(len(text.encode()) for text in texts), rtol=1e-5)
  np.testing.assert_allclose(found["words"].sum(), 2 + 3 + 1 + 2, rtol=1e-5)


def test_best_fit_leaves_the_least_room():
  order, ends = best_fit(np.array([3, 6, 5, 4, 2, 7]), 10)
  bins = [[int(n) for n in np.array([3, 6, 5, 4, 2, 7])[order[a:b]]] for a, b in itertools.pairwise(ends)]
  assert bins == [[7, 3], [6, 4], [5, 2]]
  sizes = np.minimum(np.random.RandomState(1).geometric(0.01, 3000), 128)
  order, ends = best_fit(sizes, 128)
  np.testing.assert_array_equal(np.sort(order), np.arange(3000))
  filled = np.add.reduceat(sizes[order], ends[:-1])
  assert filled.max() <= 128 and filled.sum() == sizes.sum()
  assert len(filled) <= 1.02 * np.ceil(sizes.sum() / 128)


def test_long_documents_become_pieces_that_predict_every_token():
  starts, sizes = pieces(np.array([0, 1, 1, 10, 12]), 4)
  assert list(zip(starts.tolist(), sizes.tolist())) == [(1, 4), (5, 4), (10, 1)]


def test_skip_and_limit_count_documents_within_and_windows_without(folder):
  inner = windows(4).source
  part = TokenWindows(source=Tokenized(source=inner.source, features=inner.features, skip=2, limit=3), length=4)
  stream = [i for text in TEXTS[2:5] for i in [*text.encode(), 258]]
  found = read(folder, part)
  assert found["targets"].ravel()[:len(stream) - 1].tolist() == stream[1:]
  assert len(windows(4, skip=3, limit=2).open(folder)) == 2
  with pytest.raises(DataError, match="skip=99 leaves none of the 33 documents"):
    TokenWindows(source=Tokenized(source=inner.source, features=inner.features, skip=99), length=4).open(folder)


def test_nano_gpts_sampling_draws_offsets_by_seed_epoch_and_batch(folder):
  config = Data(train=windows(8, stride=1), evaluation={"val": windows(8)}, batch_size=6, replacement=True)
  opened = config.open(folder)
  take = lambda seed, **settings: list(itertools.islice(config.training(opened, seed=seed, **settings), 80))
  batches = take(0)
  text = bytes(i if i < 256 else ord("|") for i in STREAM).decode()
  offsets = [text.find(bytes(i if i < 256 else ord("|") for i in row).decode()) for b in batches for row in b["inputs"]]
  assert min(offsets) >= 0 and len(set(offsets)) > 100  # any offset, not only multiples of the length
  for a, b in zip(batches[30:], take(0, state={"next_batch": 30}, chunk=1)):
    np.testing.assert_array_equal(a["inputs"], b["inputs"])
  assert (take(1)[0]["inputs"] != batches[0]["inputs"]).any()
  np.testing.assert_array_equal(next(config.training(opened, seed=0, chunk=3))["inputs"][2], batches[2]["inputs"])


def test_shakespeare_is_cut_as_nano_gpt_cuts_it(folder, data_dir):
  path = "text/tiny_shakespeare/input.txt"
  letters = Trained(settings=Characters(), corpus=TextFile(path=path, end=0.9))
  make = lambda **part: TokenWindows(length=64, source=Tokenized(
      source=TextFile(path=path, **part), features=(Tokens(name="ids", text="text", tokenizer=letters),)))
  train, val = make(end=0.9).open(str(data_dir)), make(begin=0.9).open(str(data_dir))
  assert train.tokenizers["inputs"].vocab_size == 65
  assert (len(train), len(val)) == (-(-1_003_853 // 64), -(-111_539 // 64))
  first = train.tokenizers["inputs"].decode(train.read(np.array([0]))["inputs"])[0]
  assert first.startswith("First Citizen:\nBefore we proceed")


def test_mistakes_are_one_line(folder):
  with pytest.raises(ConfigError, match="length=4, stride=5"):
    windows(4, stride=5)
  with pytest.raises(ConfigError, match="are for packing='stream' only"):
    windows(4, packing="best_fit", stride=2)
  (folder / "texts.jsonl").write_text('{"text": ""}\n')
  for packing in ("stream", "best_fit"):
    with pytest.raises(DataError, match="the 1 documents have no two tokens in a row"):
      windows(4, packing=packing).open(folder)
