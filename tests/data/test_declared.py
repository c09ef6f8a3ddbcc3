"""Data that are not here: their published number and form, in which real ones come too."""

import dataclasses

import numpy as np
import pytest
from twins import Sentences

from experiments import imagenet_resnet50
from research.augmentation import normalize
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.declared import declared
from research.data.examples import DataError
from research.data.sources import JSONL
from research.data.tfds import TFDS
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Trained
from research.data.windows import TokenWindows
from research.preprocessing.text.training import Characters

MISSING = DataError("it is not here")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_imagenet_has_its_number_and_its_transforms_form():
  opened = declared(data := imagenet_resnet50.data(1024, (), (normalize.torch(),)), MISSING).open(None)
  assert (len(opened.train), len(opened.evaluation["validation"])) == (1_281_167, 50_000)
  assert data.batches_per_epoch(opened) == 1251
  assert {name: (s.shape, s.dtype.name) for name, s in data.spec(opened).items()} == {
      "inputs": ((1024, 224, 224, 3), "uint8"), "labels": ((1024,), "int32"), "mask": ((1024,), "float32")}


def _tokens(name, text):
  settings = Trained(settings=Characters(), corpus=Sentences(num=20), texts=(text,))
  return Tokens(name=name, text=text, tokenizer=settings)


def test_windows_have_the_form_of_real_ones():
  def data(source):
    windows = TokenWindows(source=Tokenized(source=source, features=(_tokens("inputs", "text"),)), length=16)
    return Data(train=windows, evaluation={}, batch_size=4)

  real = data(Sentences(num=20)).open(None)
  opened = declared(data(TFDS(name="fieldwork_wikitext103", split="train")), MISSING).open(None)
  assert opened.features == real.features
  assert 7e6 < len(opened.train) < 8e6  # some 118 million tokens


def test_texts_of_unequal_lengths_fall_into_buckets():
  def data(source):
    pairs = Tokenized(source=source, features=(_tokens("source", "en"), _tokens("targets", "de")))
    return Data(train=pairs, evaluation={}, batch_size=8, buckets=Buckets(
        features=("source", "targets"), lengths=((32, 32), (64, 64), (256, 256)), longer="drop"))

  real, made = data(Sentences(num=20)), declared(data(TFDS(name="fieldwork_wmt14_de_en", split="train[:1000]")), MISSING)
  opened = made.open(None)
  assert opened.features == real.open(None).features and len(opened.train) == 1000
  assert np.mean(opened.train.lengths["source"]) == pytest.approx(28, rel=0.05)
  assert set(opened.bucket) == {0, 1, 2}


@pytest.mark.parametrize("source", [
    TFDS(name="my_set", split="train"), TFDS(name="imagenet2012", split="test"), JSONL(path="text/x.jsonl"),
    TFDS(name="fieldwork_wmt14_de_en", split="train")])  # texts as they are have no form of numbers
def test_what_is_not_known_without_the_data_says_what_the_data_said(source):
  with pytest.raises(DataError, match="it is not here"):
    declared(Data(train=source, evaluation={}, batch_size=4), MISSING)


def test_skip_and_limit_stay():
  source = TFDS(name="imagenet2012", split="train", skip=1000, limit=500)
  data = dataclasses.replace(imagenet_resnet50.data(8, (), ()), train=source)
  assert len(declared(data, MISSING).open(None).train) == 500
