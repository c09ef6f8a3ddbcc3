"""Texts as sources, tokenized once: ids, lengths, marks, cuts, the cache, and the raw text behind them."""

import gzip
import itertools
import json
import pickle

import numpy as np
import pytest

from research.config import ConfigError, from_json, override, to_json
from research.data import cache, tokenized
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.examples import DataError, warn_once
from research.data.sources import JSONL
from research.data.text import Lines, TextFile, Transformed
from research.data.tokenized import RaggedFile, Tokenized, Tokens
from research.data.vocabulary import Bytes, Stored, Trained
from research.preprocessing.text.base import TokenizerError
from research.preprocessing.text.strings import Join, Prefix
from research.preprocessing.text.training import BytePairs, Characters, SentencePieces, Words

ROWS = [{"en": f"{n} a cat" + " sat" * (n % 7), "de": f"{n} eine Katze" * (n % 3), "label": n % 4} for n in range(60)]
EVERY = np.arange(60)
TRAIN = JSONL(path="train.jsonl")
PAIRS = Trained(settings=BytePairs(vocab_size=300), corpus=TRAIN, texts=("en", "de"))


def write_rows(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  write_rows(tmp_path / "train.jsonl", ROWS)
  write_rows(tmp_path / "test.jsonl", ROWS[:9])
  return tmp_path


def translation(path="train.jsonl", tokenizer=PAIRS, **settings):
  return Tokenized(source=JSONL(path=path), keep=("label",), features=(
      Tokens(name="source", text="en", tokenizer=tokenizer, eos=True),
      Tokens(name="targets", text="de", tokenizer=tokenizer, bos=True, eos=True, max_length=6)), **settings)


# --- where texts come from --------------------------------------------------------------------------------------------


def test_a_files_parts_are_shares_of_its_characters(folder):
  (folder / "input.txt").write_text("äbcdefghij")
  read = lambda **settings: TextFile(path="input.txt", **settings).open(folder).read(np.array([0]))["text"]
  assert read(end=0.9) + read(begin=0.9) == ["äbcdefghi", "j"] and read() == ["äbcdefghij"]
  with pytest.raises(DataError, match=r"no characters from 0\.9 to 0\.95"):
    read(begin=0.9, end=0.95)
  with pytest.raises(ConfigError, match=r"begin=0\.5, end=0\.5"):
    TextFile(path="x", begin=0.5, end=0.5)


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_parallel_files_go_together(folder, packed):
  def write(name, text):
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if packed else data)
    return name
  english = write("x.en.gz" if packed else "x.en", "one\n\ntwo  words \r\nthree")
  german = write("x.de.gz" if packed else "x.de", "eins\nnull\nzwei Wörter\n\u2028drei\n")
  examples = Lines(files_of=(("en", english), ("de", german))).open(folder)
  assert len(examples) == 4
  assert examples.read(np.array([3, 1, 2])) == {"en": ["three", "", "two  words "], "de": ["\u2028drei", "null", "zwei Wörter"]}
  assert examples.key(2) == f"{english}:3"
  again = pickle.loads(pickle.dumps(examples))
  assert again.read(np.array([2])) == examples.read(np.array([2]))
  if not packed:
    assert len(pickle.dumps(examples)) < 1000 and "mmap" in type(examples._columns["en"]._data).__name__


def test_mistakes_in_text_files_name_the_line(folder):
  (folder / "a").write_bytes(b"ok\nb\xffd\n")
  (folder / "b").write_text("one\n")
  examples = Lines(files_of=(("x", "a"),)).open(folder)
  with pytest.raises(DataError, match=r"a, line 2 is no UTF-8 text: byte 1 is 0xff"):
    examples.read(np.array([1]))
  with pytest.raises(DataError, match=r"as many lines each: a has 2 lines, b has 1 lines"):
    Lines(files_of=(("x", "a"), ("y", "b"))).open(folder)
  with pytest.raises(DataError, match=r"a is no UTF-8 text: byte 4 is 0xff"):
    TextFile(path="a").open(folder)
  (folder / "empty").write_text("")
  with pytest.raises(DataError, match="empty is empty"):
    Lines(files_of=(("x", "empty"),)).open(folder)


def test_transformed_texts_are_the_raw_ones(folder):
  write_rows(folder / "lists.jsonl", [{"sentences": ["a.", "b."]}, {"sentences": ["c."]}])
  source = Transformed(source=JSONL(path="lists.jsonl"), transforms=(
      Join(text="sentences", to="text"), Prefix(text="text", to="text", prefix="summarize: ")))
  examples = Tokenized(source=source, features=(Tokens(name="inputs", text="text", tokenizer=Bytes()),)).open(folder)
  assert examples.raw(np.array([1, 0]))["text"] == ["summarize: c.", "summarize: a. b."]
  assert examples.tokenizers["inputs"].decode(examples.read(np.array([0]))["inputs"]) == ["summarize: a. b."]
  with pytest.raises(DataError, match=r"'sentences' of 0 is no text but list: join it first \(Transformed with Join\)"):
    Tokenized(source=JSONL(path="lists.jsonl"), features=(
        Tokens(name="inputs", text="sentences", tokenizer=Bytes()),)).open(folder)


# --- tokenized --------------------------------------------------------------------------------------------------------


def test_ids_are_those_of_the_tokenizer_with_marks_and_cuts(folder, caplog):
  warn_once.cache_clear()
  examples = translation().open(folder)
  tokenizer = examples.tokenizers["source"]
  read = examples.read(EVERY)
  english, german = tokenizer.encode([row["en"] for row in ROWS]), tokenizer.encode([row["de"] for row in ROWS])
  for n in EVERY:
    np.testing.assert_array_equal(read["source"][n], [*english[n], tokenizer.eos_id])
    np.testing.assert_array_equal(read["targets"][n], [tokenizer.bos_id, *german[n][:4], tokenizer.eos_id])
    assert read["source"][n].dtype == np.int32
  assert read["label"].tolist() == [row["label"] for row in ROWS]
  for name, lengths in examples.lengths.items():
    assert lengths.tolist() == [len(ids) for ids in read[name]]
  truncated = sum(len(ids) > 4 for ids in german)
  assert [r.getMessage() for r in caplog.records] == [f"targets of 60 examples: 20 empty, {truncated} truncated to 6 tokens"]
  assert truncated > 5


def test_a_document_of_100_000_tokens_is_cut_and_told_or_kept_whole(folder, caplog):
  warn_once.cache_clear()
  (folder / "long.jsonl").write_text(json.dumps({"text": "abcd " * 20_000}) + "\n" + json.dumps({"text": "short"}) + "\n")
  ids = lambda most: Tokenized(source=JSONL(path="long.jsonl"), features=(
      Tokens(name="ids", text="text", tokenizer=Bytes(), eos=True, max_length=most),)).open(folder).lengths["ids"].tolist()
  assert ids(512) == [512, 6]
  assert [r.getMessage() for r in caplog.records] == ["ids of 2 examples: 0 empty, 1 truncated to 512 tokens"]
  assert ids(None) == [100_001, 6]


def test_another_field_can_be_what_is_counted(folder):
  (folder / "two.jsonl").write_text(json.dumps({"text": "don't", "tokens": "do n't \u00e9"}) + "\n")
  sizes = lambda counted: Tokenized(source=JSONL(path="two.jsonl"), features=(
      Tokens(name="ids", text="text", tokenizer=Bytes(), counted=counted),)).open(folder).columns["ids"].sizes.tolist()
  assert sizes(None) == [[5], [1]] and sizes("tokens") == [[9], [3]]


def test_raw_texts_and_lengths_follow_skip_and_limit(folder):
  examples = translation(skip=7, limit=5).open(folder)
  assert len(examples) == 5
  assert examples.raw(np.array([2, 0]))["en"] == [ROWS[9]["en"], ROWS[7]["en"]]
  assert examples.lengths["source"].tolist() == [len(ids) for ids in examples.read(np.arange(5))["source"]]
  assert examples.tokenizers["source"].decode(examples.read(np.array([0]))["source"]) == [ROWS[7]["en"]]


def test_pairs_have_separators_and_the_longer_text_is_cut(folder):
  write_rows(folder / "pairs.jsonl", [{"a": "abcdef", "b": "xy"}, {"a": "ab", "b": "uvwxyz"}, {"a": "abc", "b": "xyz"}])
  features = Tokens(name="inputs", text="a", pair="b", separators=2, tokenizer=Bytes(), bos=True, eos=True, max_length=10)
  examples = Tokenized(source=JSONL(path="pairs.jsonl"), features=(features,)).open(folder)
  shown = ["".join("<" if i == 257 else "|" if i == 258 else chr(i) for i in row) for row in
           examples.read(np.arange(3))["inputs"]]
  assert shown == ["<abcd||xy|", "<ab||uvwx|", "<abc||xyz|"]


def test_the_files_are_made_once_and_anew_when_anything_changes(folder, monkeypatch):
  translation().open(folder)
  made = sorted((folder / "cache").rglob("*.ids"))
  monkeypatch.setattr(tokenized, "_write", lambda *args: pytest.fail("made again"))
  monkeypatch.setattr(BytePairs, "train", lambda *args: pytest.fail("trained again"))
  translation().open(folder)
  monkeypatch.undo()
  monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
  write_rows(folder / "train.jsonl", [*ROWS[:-1], {**ROWS[-1], "en": "something else"}])
  examples = translation().open(folder)
  assert examples.tokenizers["source"].decode(examples.read(np.array([59]))["source"]) == ["something else"]
  assert len(list((folder / "cache").rglob("*.ids"))) == 2 * len(made) == 4
  assert not list((folder / "cache").rglob(".*"))  # nothing half-made stays


def test_what_fails_leaves_nothing_behind(folder):
  (folder / "bad.jsonl").write_text(json.dumps({"en": "\ud800", "de": "", "label": 0}) + "\n")
  with pytest.raises(TokenizerError, match="half of a pair"):
    translation("bad.jsonl").open(folder)
  assert not list((folder / "cache" / "fieldwork" / "tokens").iterdir())


def test_a_damaged_cache_is_told(folder):
  translation().open(folder)
  path = next((folder / "cache").rglob("source.ids"))
  path.write_bytes(path.read_bytes()[:-2])
  with pytest.raises(DataError, match=r"source\.ids is damaged: remove the folder .*, it is made anew"):
    translation().open(folder)


def test_a_cache_that_cannot_be_written_is_told(folder, monkeypatch):
  (folder / "file").write_text("")
  monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
  with pytest.raises(DataError, match=r"cannot be written .*set XDG_CACHE_HOME"):
    translation().open(folder)


def test_who_is_second_takes_what_the_first_made(folder):
  def make(target):
    (target / "x").write_text("mine")
    if not (cache.folder() / "kind" / "key").exists():
      cache.made_once("kind", "key", lambda other: (other / "x").write_text("theirs") and None)
  assert (cache.made_once("kind", "key", make) / "x").read_text() == "theirs"
  assert len(list((cache.folder() / "kind").iterdir())) == 1


def test_worker_processes_make_the_same_files(folder, monkeypatch):
  monkeypatch.setattr(tokenized, "_BLOCK", 25)
  words = Trained(settings=Words(), corpus=TRAIN, texts=("en", "de"))
  here = translation(tokenizer=words).open(folder)
  monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "other"))
  monkeypatch.setattr(tokenized, "_MANY", 0)
  monkeypatch.setattr(tokenized.os, "sched_getaffinity", lambda pid: {0, 1})
  there = translation(tokenizer=words).open(folder)
  for name in ("source", "targets"):
    np.testing.assert_array_equal(here.columns[name].ids, there.columns[name].ids)
    np.testing.assert_array_equal(here.columns[name].offsets, there.columns[name].offsets)


def test_ids_stay_on_disk_and_travel_as_a_path(folder):
  examples = translation().open(folder)
  column = examples.columns["source"]
  assert isinstance(column.ids.base, np.memmap) and column.ids.dtype == np.uint16
  again = pickle.loads(pickle.dumps(column))
  assert isinstance(again, RaggedFile) and len(pickle.dumps(column)) < 500
  np.testing.assert_array_equal(again[5], column[5])


def test_a_tokenizer_is_trained_on_its_corpus_only(folder):
  write_rows(folder / "test.jsonl", [{"en": "a zoo", "de": "q", "label": 0}] * 2)
  letters = Trained(settings=Characters(specials=("<s>", "</s>", "<unk>")), corpus=TRAIN, texts=("en", "de"))
  examples = translation("test.jsonl", letters).open(folder)
  assert examples.tokenizers["source"].decode(examples.read(np.array([0]))["source"]) == ["a z<unk><unk>"]


def test_all_goes_through_buckets_to_batches(folder):
  data = Data(train=translation(), evaluation={"test": translation("test.jsonl")}, batch_size=4, eval_batch_size=4,
              buckets=Buckets(features=("source", "targets"), lengths=((12, 8), (24, 16))))
  opened = data.open(folder)
  seen = []
  for batch in itertools.islice(data.training(opened, seed=0), data.batches_per_epoch(opened)):
    for ids, length, real in zip(batch["source"], batch["source_length"], batch["mask"]):
      if real:
        seen.append(opened.train.tokenizers["source"].decode([ids[:length]])[0])
        assert not ids[length:].any()
  assert sorted(seen) == sorted(row["en"] for row in ROWS)
  for batch in data.evaluating(opened, "test"):
    for index, ids, length in zip(batch["index"], batch["source"], batch["source_length"]):
      if index >= 0:
        assert opened.evaluation["test"].raw(np.array([index]))["en"] == [
            opened.train.tokenizers["source"].decode([ids[:length]])[0]]


def test_settings_are_flags_and_json():
  source = translation()
  assert from_json(to_json(source)) == source
  changed = override(source, {"features.0.tokenizer.settings.vocab_size": "400", "features.1.max_length": "9"})
  assert changed.features[0].tokenizer.settings.vocab_size == 400 and changed.features[1].max_length == 9


def test_mistakes_are_one_line(folder):
  buckets = Buckets(features=("source", "targets"), lengths=((24, 16),))
  other = Trained(settings=BytePairs(vocab_size=301), corpus=TRAIN, texts=("en", "de"))
  with pytest.raises(DataError, match="train and test have different tokenizers of 'source'"):
    Data(train=translation(), evaluation={"test": translation("test.jsonl", other)}, batch_size=4, buckets=buckets).open(folder)
  with pytest.raises(ConfigError, match=r"data\.buckets: 'source' of the test data is of unequal lengths"):
    Data(train=translation(), evaluation={"test": translation("test.jsonl")}, batch_size=4).open(folder)
  pieces = Trained(settings=SentencePieces(vocab_size=24), corpus=TRAIN, texts=("en",))
  with pytest.raises(ConfigError, match="bos of targets: the tokenizer has no such id; give bos=False"):
    translation(tokenizer=pieces).open(folder)
  with pytest.raises(DataError, match="there is no text 'fr', only en, de, label"):
    Trained(settings=Characters(), corpus=TRAIN, texts=("fr",)).open(folder)
  with pytest.raises(TokenizerError, match=r"the tokenizer cannot be trained: SentencePieces\(vocab_size=9000\)"):
    Trained(settings=SentencePieces(vocab_size=9000), corpus=TRAIN, texts=("en",)).open(folder)
  with pytest.raises(DataError, match="no_such_folder does not exist"):
    Stored(path="no_such_folder").open(folder)
  with pytest.raises(DataError, match="there is no 'topic' to keep"):
    Tokenized(source=TRAIN, features=(Tokens(name="x", text="en", tokenizer=Bytes()),), keep=("topic",)).open(
        folder).read(np.array([0]))
  with pytest.raises(ConfigError, match="different names, not label, label"):
    Tokenized(source=TRAIN, features=(Tokens(name="label", text="en", tokenizer=Bytes()),), keep=("label",))
  with pytest.raises(ConfigError, match="max_length=2 of x: must be 3 or more"):
    Tokens(name="x", text="en", tokenizer=Bytes(), bos=True, eos=True, max_length=2)
