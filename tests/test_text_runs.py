"""Runs on texts, in this process: batches of several lengths, a network that writes, and what is kept and shown of it."""

import dataclasses

import numpy as np
import pytest
from etils import epath

from research.config import ConfigError, Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Bytes, Trained
from research.data.windows import TokenWindows
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.fit import Fit
from research.metrics.exact_match import ExactMatch
from research.models import gpt2, recurrent, transformer_2017
from research.optimizers.adam import Adam
from research.preprocessing.text.loading import load
from research.preprocessing.text.training import Words
from research.tasks.language_modeling import LanguageModeling
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.sharding import Sharding
from research.workdir import Run

TRAINING = Training(steps=Duration(240), evaluate_every=Duration(0), save_every=Duration(120), sharding=Sharding(data=1))


@pytest.fixture
def run(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  with Interruption() as interruption:
    yield Run(epath.Path(tmp_path / "run"), None, interruption)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers(Source):
  """Digits in words, and as figures: "two nine" and "2 9", one to eight of them."""

  seed: int
  num: int = 300

  def open_all(self, data_dir):
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    rng = np.random.default_rng(self.seed)
    digits = [rng.integers(0, 10, rng.integers(1, 9)) for _ in range(self.num)]
    return Columns({"words": [" ".join(names[d] for d in its) for its in digits],
                    "figures": [" ".join(map(str, its)) for its in digits]})

  def files(self, data_dir):
    return ()


def translation(model, **changes) -> Experiment:
  corpus = Numbers(seed=0)
  side = lambda name, text: Tokens(
      name=name, text=text, eos=True, tokenizer=Trained(settings=Words(), corpus=corpus, texts=(text,)))
  numbers = lambda source: Tokenized(source=source, features=(side("source", "words"), side("targets", "figures")))
  writing = Writing(decoding=Decoding(search=Beam(num_beams=2), max_new_tokens=10), source="words",
                    against=(Against(metric=ExactMatch(), reference="figures"),))
  task = TextToText(vocab_size=14, start_id=1, end_id=2, pad_id=0, token="word", writing=writing)
  base = Experiment(
      data=Data(train=numbers(corpus), evaluation={"test": numbers(Numbers(seed=1, num=37))}, batch_size=32, eval_batch_size=16,
                buckets=Buckets(features=("source", "targets"), lengths=((5, 5), (10, 10)))),
      task=task, model=model, optimizer=Adam(learning_rate=3e-3), training=TRAINING)
  return dataclasses.replace(base, **changes)


TRANSFORMER = transformer_2017.make(dim=32, num_layers=1, num_heads=4, mlp_dim=64, dropout=0.0)
MODELS = {"transformer": TRANSFORMER, "attending": recurrent.Config(cell="gru", width=32, num_layers=1, attention=True)}


@pytest.mark.parametrize("name", ["transformer", pytest.param("attending", marks=pytest.mark.heavy)])
def test_a_translator_learns_and_what_it_writes_is_measured_and_shown(run, name, capfd):
  experiment = translation(MODELS[name])
  experiment.check(None)
  found = experiment.measure(0, run)
  assert found.metrics["test/accuracy"] > 0.9
  assert 0.5 < found.metrics["test/exact_match"] <= 1
  low, high = found.intervals["test/exact_match"]
  assert low <= found.metrics["test/exact_match"] <= high
  assert found.signatures["test/exact_match"] == "whole text|beam2|lenpen:power1|max:10"
  titles = [figure.title for figure in found.figures]
  assert any("Worst" in title for title in titles)
  assert "2 shapes of batches" in capfd.readouterr().err
  kept = load(run.folder / "tokenizers" / "source")
  assert kept.decode(kept.encode(["nine two"])) == ["nine two"]
  again = experiment.evaluate(0, run)
  assert again.metrics["test/exact_match"] == found.metrics["test/exact_match"]


def test_a_vocabulary_that_is_too_small_and_stacked_buckets_are_refused():
  small = dataclasses.replace(translation(TRANSFORMER).task, vocab_size=9)
  with pytest.raises(ConfigError, match=r"task\.vocab_size=9: the tokenizer has 14 ids"):
    translation(TRANSFORMER, task=small).check(None)
  with pytest.raises(ConfigError, match=r"steps_per_call"):
    translation(TRANSFORMER, training=dataclasses.replace(TRAINING, steps_per_call=4)).check(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alphabet(Source):
  """The alphabet again and again."""

  def open_all(self, data_dir):
    return Columns({"text": ["abcdefghijklmnopqrstuvwxyz" * 20]})

  def files(self, data_dir):
    return ()


def test_a_language_model_learns_the_alphabet(run):
  tokens = Tokens(name="inputs", text="text", tokenizer=Bytes())
  windows = lambda stride: TokenWindows(source=Tokenized(source=Alphabet(), features=(tokens,)), length=16, stride=stride)
  experiment = Experiment(
      data=Data(train=windows(1), evaluation={"valid": windows(None)}, batch_size=16, replacement=True),
      task=LanguageModeling(vocab_size=259, token="byte", loss_chunk=64),
      model=gpt2.make(dim=32, num_layers=1, num_heads=2, max_length=16), optimizer=Adam(learning_rate=1e-2),
      training=dataclasses.replace(TRAINING, steps=Duration(60)))
  found = experiment.measure(0, run)
  assert found.metrics["valid/loss"] < 0.2
  np.testing.assert_allclose(found.metrics["valid/perplexity_per_byte"], np.exp(found.metrics["valid/loss"]), rtol=1e-6)
  np.testing.assert_allclose(found.metrics["valid/bits_per_byte"], found.metrics["valid/loss"] / np.log(2), rtol=1e-6)


def test_every_target_of_a_text_counts_once(run):
  """The mean over windows of several lengths of padding is that over all the text's tokens but the first."""
  tokens = Tokens(name="inputs", text="text", tokenizer=Bytes())
  windows = lambda length: TokenWindows(source=Tokenized(source=Alphabet(), features=(tokens,)), length=length)
  experiment = lambda length: Experiment(
      data=Data(train=windows(length), evaluation={"valid": windows(length)}, batch_size=2, eval_batch_size=7),
      task=LanguageModeling(vocab_size=259, token="byte"), optimizer=Adam(learning_rate=0.0),
      model=gpt2.make(dim=8, num_layers=1, num_heads=1, max_length=64),
      training=dataclasses.replace(TRAINING, steps=Duration(1)))
  fit = Fit(experiment(50), 0, run)
  state, facts = fit.resume()
  batches = list(fit.experiment.data.evaluating(fit.opened, "valid"))
  assert sum(float(np.sum(b["weights"] * b["mask"][:, None])) for b in batches) == 26 * 20 - 1
  assert np.isfinite(fit.findings(state, facts).metrics["valid/loss"])
