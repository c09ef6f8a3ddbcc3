"""Text data sets by name: which published files they are made of, and what an example has."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping

from research.data.builders import formats
from research.data.builders.formats import Example

PREFIX = "fieldwork_"  # of the names of prepared sets: TFDS's catalogue has the same ones with other fields

Reader = Callable[[pathlib.Path], Iterator[Example]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSet:
  """One data set.

  Attributes:
    needs: which files must lie in the folder, and where they come from.
    texts: the features that are texts.
    labels: the names of the classes, which the feature `label` numbers; () without classes.
    score: whether `label` is a real number.
    splits: split to what reads it out of the folder.
  """

  needs: str
  texts: tuple[str, ...]
  labels: tuple[str, ...] = ()
  score: bool = False
  splits: Mapping[str, Reader]


def _wmt(train: list[str], validation: str, test: str, needs: str) -> TextSet:
  pair = lambda stem: {"de": f"{stem}.de", "en": f"{stem}.en"}
  # The sgm of both directions hold the same text: one side of it is called source, the other reference.
  news = lambda stem: {"de": f"{stem}-src.de.sgm", "en": f"{stem}-ref.en.sgm"}
  names = {"train": [pair(stem) for stem in train],
           "validation": [news(validation) if validation.endswith("-deen") else pair(validation)], "test": [news(test)]}
  return TextSet(needs=f"{needs}, all extracted", texts=("de", "en"),
                 splits={split: functools.partial(formats.parallel, names=files) for split, files in names.items()})


_EUROPARL, _CRAWL = "training/europarl-v7.de-en", "commoncrawl.de-en"


def _glue(folder: str, columns: dict[str, str | int], labels: tuple[str, ...], *, files: Mapping[str, str], score: bool = False,
          test_columns: dict[str, str | int] | None = None) -> TextSet:
  texts = tuple(name for name in columns if name != "label")
  splits: dict[str, Reader] = {}
  for split, name in files.items():
    unlabeled = split.startswith("test")
    of_split = {k: v for k, v in (test_columns or columns).items() if k != "label"} if unlabeled else columns
    splits[split] = functools.partial(formats.table, name=f"{folder}/{name}", columns=of_split, labels=labels, score=score,
                                      unlabeled=unlabeled)
  return TextSet(needs=f"the folder {folder} of GLUE's zip files (gluebenchmark.com/tasks): {', '.join(files.values())}",
                 texts=texts, labels=labels, score=score, splits=splits)


_THREE = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
_INFERENCE = ("entailment", "neutral", "contradiction")

SETS: dict[str, TextSet] = {
    "wmt14_de_en": _wmt(
        [_EUROPARL, _CRAWL, "training/news-commentary-v9.de-en"], "dev/newstest2013", "test-full/newstest2014-deen",
        "training-parallel-europarl-v7.tgz, training-parallel-commoncrawl.tgz, training-parallel-nc-v9.tgz, dev.tgz and "
        "test-full.tgz of statmt.org/wmt14"),
    "wmt16_de_en": _wmt(
        [_EUROPARL, _CRAWL, "training-parallel-nc-v11/news-commentary-v11.de-en"], "dev/newstest2015-deen",
        "test/newstest2016-deen",
        "training-parallel-europarl-v7.tgz, training-parallel-commoncrawl.tgz (statmt.org/wmt13), "
        "training-parallel-nc-v11.tgz, dev.tgz and test.tgz of statmt.org/wmt16"),
    "wmt17_de_en": _wmt(
        [_EUROPARL, _CRAWL, "training/news-commentary-v12.de-en", "rapid2016.de-en"], "dev/newstest2016-deen",
        "test/newstest2017-deen",
        "training-parallel-europarl-v7.tgz, training-parallel-commoncrawl.tgz (statmt.org/wmt13), "
        "training-parallel-nc-v12.tgz, rapid2016.tgz, dev.tgz and test.tgz of statmt.org/wmt17"),
    "multi30k": TextSet(
        needs="data/task1/raw of github.com/multi30k/dataset: train, val, test_2016_flickr and test_2017_flickr, .en and .de",
        texts=("en", "de"), splits={
            split: functools.partial(formats.parallel, names=[{"en": f"{name}.en", "de": f"{name}.de"}])
            for split, name in (("train", "train"), ("validation", "val"), ("test_2016", "test_2016_flickr"),
                                ("test_2017", "test_2017_flickr"))}),
    "cnn_dailymail": TextSet(
        needs="cnn_stories.tgz and dailymail_stories.tgz (cs.nyu.edu/~kcho/DMQA), extracted, and all_train.txt, all_val.txt, "
              "all_test.txt of url_lists in github.com/abisee/cnn-dailymail",
        texts=("article", "highlights"), splits={
            split: functools.partial(formats.stories, urls=f"all_{name}.txt")
            for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))}),
    "xsum": TextSet(
        needs="XSum-EMNLP18-Summary-Data-Original.tar.gz, extracted to bbc-summary-data, and "
              "XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json of github.com/EdinburghNLP/XSum",
        texts=("document", "summary"),
        splits={split: functools.partial(formats.xsum, split=split) for split in ("train", "validation", "test")}),
    "aeslc": TextSet(
        needs="the folder enron_subject_line of github.com/ryanzhumich/AESLC", texts=("body", "subject"), splits={
            split: functools.partial(formats.mails, split=name)
            for split, name in (("train", "train"), ("validation", "dev"), ("test", "test"))}),
    "lm1b": TextSet(
        needs="1-billion-word-language-modeling-benchmark-r13output.tar.gz (statmt.org/lm-benchmark), extracted",
        texts=("text",), splits={
            "train": functools.partial(formats.lines, names=[
                "1-billion-word-language-modeling-benchmark-r13output/training-monolingual.tokenized.shuffled/"
                f"news.en-{n:05d}-of-00100" for n in range(1, 100)]),
            "test": functools.partial(formats.lines, names=[
                "1-billion-word-language-modeling-benchmark-r13output/heldout-monolingual.tokenized.shuffled/"
                "news.en.heldout-00000-of-00050"])}),
    "wikitext103": TextSet(
        needs="wikitext-103-raw-v1.zip, extracted to wikitext-103-raw", texts=("text",), splits={
            split: functools.partial(formats.articles, name=f"wikitext-103-raw/wiki.{name}.raw")
            for split, name in (("train", "train"), ("validation", "valid"), ("test", "test"))}),
    "openwebtext": TextSet(
        needs="openwebtext.tar.xz (skylion007.github.io/OpenWebTextCorpus), extracted to openwebtext/*.xz", texts=("text",),
        splits={"train": functools.partial(formats.packed_texts, pattern="openwebtext/*.xz")}),
    "glue_cola": _glue("CoLA", {"sentence": 3, "label": 1}, ("unacceptable", "acceptable"), files=_THREE,
                       test_columns={"sentence": "sentence"}),
    "glue_sst2": _glue("SST-2", {"sentence": "sentence", "label": "label"}, ("negative", "positive"), files=_THREE),
    "glue_mrpc": _glue("MRPC", {"sentence1": "#1 String", "sentence2": "#2 String", "label": "Quality"},
                       ("not_equivalent", "equivalent"), files=_THREE),
    "glue_qqp": _glue("QQP", {"question1": "question1", "question2": "question2", "label": "is_duplicate"},
                      ("not_duplicate", "duplicate"), files=_THREE),
    "glue_stsb": _glue("STS-B", {"sentence1": "sentence1", "sentence2": "sentence2", "label": "score"}, (), files=_THREE,
                       score=True),
    "glue_mnli": _glue("MNLI", {"premise": "sentence1", "hypothesis": "sentence2", "label": "gold_label"}, _INFERENCE, files={
        "train": "train.tsv", "validation_matched": "dev_matched.tsv", "validation_mismatched": "dev_mismatched.tsv",
        "test_matched": "test_matched.tsv", "test_mismatched": "test_mismatched.tsv"}),
    "glue_qnli": _glue("QNLI", {"question": "question", "sentence": "sentence", "label": "label"},
                       ("entailment", "not_entailment"), files=_THREE),
    "glue_rte": _glue("RTE", {"sentence1": "sentence1", "sentence2": "sentence2", "label": "label"},
                      ("entailment", "not_entailment"), files=_THREE),
    "glue_wnli": _glue("WNLI", {"sentence1": "sentence1", "sentence2": "sentence2", "label": "label"},
                       ("not_entailment", "entailment"), files=_THREE),
}
