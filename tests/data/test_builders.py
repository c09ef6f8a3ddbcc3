"""Text data sets out of files in their published forms, tiny."""

import gzip
import hashlib
import io
import json
import sys
import tarfile

import numpy as np
import pytest

from research.data.builders.sets import SETS
from research.data.examples import DataError
from research.data.tfds import TFDS

CNN, DAILY = "http://web.archive.org/cnn/1", "http://web.archive.org/daily/2"
story = lambda site, url: f"{site}/stories/{hashlib.sha1(url.encode()).hexdigest()}.story"
LM1B = "1-billion-word-language-modeling-benchmark-r13output"
SGM = '<srcset><doc docid="1"><p>\n<seg id="1">{}  one </seg>\n<seg id="2">two &amp; three</seg>\n</p></doc></srcset>\n'


def files_of(text_set):
  """What the published archives hold, by name."""
  wmt = {f"{stem}.{side}": f"{side} {stem}\n{side} second\n" for side in ("de", "en") for stem in (
      "training/europarl-v7.de-en", "commoncrawl.de-en", "training/news-commentary-v9.de-en", "dev/newstest2013",
      "training-parallel-nc-v11/news-commentary-v11.de-en", "training/news-commentary-v12.de-en", "rapid2016.de-en")}
  for stem in ("test-full/newstest2014-deen", "dev/newstest2015-deen", "test/newstest2016-deen", "dev/newstest2016-deen",
               "test/newstest2017-deen"):
    wmt |= {f"{stem}-src.de.sgm": SGM.format("de"), f"{stem}-ref.en.sgm": SGM.format("en")}
  glue = {
      "CoLA/train.tsv": "gj04\t1\t\tIt's \"fine\".\nbc01\t0\t*\tIt fine.\n", "CoLA/dev.tsv": "gj04\t0\t*\tx\n",
      "CoLA/test.tsv": "index\tsentence\n0\tBill whistled.\n",
      "STS-B/train.tsv": "index\tgenre\tsentence1\tsentence2\tscore\n0\tnews\ta\tb\t3.750\n",
      "STS-B/dev.tsv": "index\tgenre\tsentence1\tsentence2\tscore\n0\tnews\ta\tb\t0.000\n",
      "STS-B/test.tsv": "index\tgenre\tsentence1\tsentence2\n0\tnews\ta\tb\n",
      **{f"MNLI/{name}.tsv": "index\tsentence1\tsentence2\tgold_label\n0\tp\th\tneutral\n1\tp\th\tcontradiction\n"
         for name in ("train", "dev_matched", "dev_mismatched")},
      **{f"MNLI/{name}.tsv": "index\tsentence1\tsentence2\n0\tp\th\n" for name in ("test_matched", "test_mismatched")},
      "QQP/train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tq\tr\t1\nbroken\t3\n",
      "QQP/dev.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tq\tr\t0\n",
      "QQP/test.tsv": "id\tquestion1\tquestion2\n0\tq\tr\n"}
  xz = io.BytesIO()
  with tarfile.open(fileobj=xz, mode="w:xz") as archive:
    for name, text in (("0000001-a.txt", "first page\n\nof the web\n"), ("0000002-b.txt", "zweite Seite: äöü")):
      info = tarfile.TarInfo(name)
      info.size = len(text.encode())
      archive.addfile(info, io.BytesIO(text.encode()))
  others = {
      "multi30k": {f"{split}.{side}": f"{side} {split}\nA\u2028b\n" for side in ("en", "de")
                   for split in ("train", "val", "test_2016_flickr", "test_2017_flickr")},
      "cnn_dailymail": {
          "all_train.txt": f"{CNN}\n{DAILY}\n", "all_val.txt": f"{CNN}\n", "all_test.txt": f"{DAILY}\n",
          story("cnn", CNN): "(CNN) -- A man\n\nHe ran.\n\n@highlight\n\nMan runs\n\n@highlight\n\nFar away!\n",
          story("dailymail", DAILY): "By Someone\n\n@highlight\n\nNews.\n"},
      "xsum": {"XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json": json.dumps(
          {"train": ["7", "3"], "validation": ["3"], "test": ["7"]}),
               **{f"bbc-summary-data/{n}.summary": f"[SN]URL[SN]\nhttp://{n}\n\n[SN]TITLE[SN]\nT\n\n[SN]FIRST-SENTENCE[SN]\n"
                  f"Summary {n}.\n\n[SN]RESTBODY[SN]\nLine one.\nLine two.\n" for n in (3, 7)}},
      "aeslc": {f"enron_subject_line/{split}/{n}.subject": f"Dear all,\nmeet {n}.\n\n@subject\nMeeting {n}\n"
                + ("" if split == "train" else "\n@ann0\nOther words\n\n@ann1\nMore\n")
                for split in ("train", "dev", "test") for n in (2, 1)},
      "lm1b": {**{f"{LM1B}/training-monolingual.tokenized.shuffled/news.en-{n:05d}-of-00100": f"line {n} .\n"
                  for n in range(1, 100)},
               f"{LM1B}/heldout-monolingual.tokenized.shuffled/news.en.heldout-00000-of-00050": "held out .\n"},
      "wikitext103": {f"wikitext-103-raw/wiki.{split}.raw": " \n = Robert Boulter = \n \n He acts . \n = = Career = = \n"
                      " More . \n \n = Other = \n \n Text . \n" for split in ("train", "valid", "test")},
      "openwebtext": {"openwebtext/urlsf_subset00-1_data.xz": xz.getvalue()},
  }
  return glue if text_set.startswith("glue") else wmt if text_set.startswith("wmt") else others[text_set]


@pytest.fixture
def folder(tmp_path):
  def write(text_set, packed=()):
    for name, content in files_of(text_set).items():
      path = tmp_path / text_set / name
      path.parent.mkdir(parents=True, exist_ok=True)
      data = content if isinstance(content, bytes) else content.encode()
      if name in packed:
        path, data = path.with_name(f"{path.name}.gz"), gzip.compress(data)
      path.write_bytes(data)
    return tmp_path / text_set
  return write


def read(folder, text_set):
  return {split: list(reader(folder)) for split, reader in SETS[text_set].splits.items()}


@pytest.mark.parametrize("name, parts", [("wmt14_de_en", 3), ("wmt16_de_en", 3), ("wmt17_de_en", 4)])
def test_wmt_joins_its_parts_and_reads_sgm(folder, name, parts):
  found = read(folder(name, packed=("commoncrawl.de-en.de",)), name)
  assert len(found["train"]) == 2 * parts
  assert found["train"][2] == {"de": "de commoncrawl.de-en", "en": "en commoncrawl.de-en"}
  assert found["test"] == [{"de": "de one", "en": "en one"}, {"de": "two &amp; three", "en": "two &amp; three"}]
  assert len(found["validation"]) == 2


def test_line_n_goes_with_line_n_whatever_signs_a_line_holds(folder):
  assert read(folder("multi30k"), "multi30k")["test_2016"] == [
      {"en": "en test_2016_flickr", "de": "de test_2016_flickr"}, {"en": "A\u2028b", "de": "A\u2028b"}]


def test_summaries(folder):
  found = read(folder("cnn_dailymail"), "cnn_dailymail")
  assert found["train"] == [{"article": "(CNN) -- A man . He ran.", "highlights": "Man runs .\nFar away!"},
                            {"article": "By Someone .", "highlights": "News."}]
  assert found["validation"] == found["train"][:1] and found["test"] == found["train"][1:]
  found = read(folder("xsum"), "xsum")
  assert found["train"][0] == {"document": "Line one.\nLine two.", "summary": "Summary 7."}
  assert [row["summary"] for split in ("train", "validation", "test") for row in found[split]] == [
      "Summary 7.", "Summary 3.", "Summary 3.", "Summary 7."]
  found = read(folder("aeslc"), "aeslc")
  assert found["train"] == found["test"] == [{"body": f"Dear all,\nmeet {n}.", "subject": f"Meeting {n}"} for n in (1, 2)]


def test_corpora(folder):
  found = read(folder("lm1b"), "lm1b")
  assert [row["text"] for row in found["train"][:2]] == ["line 1 .", "line 2 ."] and len(found["train"]) == 99
  assert found["test"] == [{"text": "held out ."}]
  found = read(folder("wikitext103"), "wikitext103")
  assert [row["text"] for row in found["test"]] == [
      " \n = Robert Boulter = \n \n He acts . \n = = Career = = \n More . \n \n", " = Other = \n \n Text . \n"]
  assert read(folder("openwebtext"), "openwebtext")["train"] == [
      {"text": "first page\n\nof the web"}, {"text": "zweite Seite: äöü"}]


def test_glue_has_numbers_for_classes_and_none_where_there_are_none(folder, caplog):
  where = folder("glue")
  found = read(where, "glue_cola")
  assert found["train"] == [{"sentence": "It's \"fine\".", "label": 1}, {"sentence": "It fine.", "label": 0}]
  assert found["test"] == [{"sentence": "Bill whistled.", "label": -1}]
  found = read(where, "glue_stsb")
  assert found["train"] == [{"sentence1": "a", "sentence2": "b", "label": 3.75}] and found["test"][0]["label"] == -1
  found = read(where, "glue_mnli")
  assert [row["label"] for row in found["train"]] == [1, 2] and set(found) == {
      "train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched"}
  found = read(where, "glue_qqp")
  assert found["train"] == [{"question1": "q", "question2": "r", "label": 1}]
  assert "1 rows that end early are left out" in caplog.text


def test_prepared_sets_are_read_in_the_order_of_their_files(folder, tmp_path):
  pytest.importorskip("tensorflow_datasets")
  from research.data.builders.prepare import prepare
  (tmp_path / "multi30k").mkdir()
  lines = "".join(f"sentence {n}\n" for n in range(500))
  for name in files_of("multi30k"):
    (tmp_path / "multi30k" / name).write_text(lines)
  prepare("multi30k", tmp_path / "multi30k", tmp_path / "data")
  prepare("glue_cola", folder("glue"), tmp_path / "data")
  examples = TFDS(name="fieldwork_multi30k", split="test_2016").open(str(tmp_path / "data"))
  assert examples.read(np.arange(500))["de"] == lines.splitlines()
  source = TFDS(name="fieldwork_glue_cola", split="test")
  assert source.open(str(tmp_path / "data")).read(np.array([0])) == {"label": [-1], "sentence": ["Bill whistled."]}
  assert source.class_names(str(tmp_path / "data")) == ("unacceptable", "acceptable")
  assert source.digest(str(tmp_path / "data")) != TFDS(name="fieldwork_multi30k", split="test").digest(str(tmp_path / "data"))
  assert "tensorflow" not in sys.modules


def test_mistakes_name_the_file_and_what_is_needed(folder, tmp_path):
  pytest.importorskip("tensorflow_datasets")
  from research.data.builders.prepare import prepare
  with pytest.raises(DataError, match=r"europarl-v7\.de-en\.de does not exist: .*; wmt14_de_en needs training-parallel"):
    prepare("wmt14_de_en", tmp_path, tmp_path / "data")
  with pytest.raises(DataError, match=r"there is no text data set 'wmt14'.*Did you mean"):
    prepare("wmt14", tmp_path, tmp_path / "data")
  with pytest.raises(DataError, match=r"'fieldwork_xsum' is not prepared in .*--set=xsum --manual_dir=FILES .*XSum-EMNLP18"):
    TFDS(name="fieldwork_xsum", split="train").open(str(tmp_path))
  where = folder("multi30k")
  (where / "train.de").write_text("one\n")
  with pytest.raises(DataError, match=r"as many lines each: train\.en has 2, train\.de has 1"):
    read(where, "multi30k")
  (where / "train.de").write_bytes(b"one\n\xff\n")
  with pytest.raises(DataError, match=r"train\.de is no UTF-8 text: it has the byte 0xff"):
    read(where, "multi30k")
  (where / "train.de").unlink()
  (where / "train.de.gz").write_bytes(gzip.compress(b"one\ntwo\n" * 100)[:-9])
  with pytest.raises(DataError, match=r"train\.de\.gz is damaged"):
    read(where, "multi30k")
  (folder("glue") / "MNLI" / "train.tsv").write_text("sentence1\tsentence2\tgold_label\np\th\t-\n")
  with pytest.raises(DataError, match="line 2 has the label '-', not entailment or neutral or contradiction"):
    read(tmp_path / "glue", "glue_mnli")
