"""Bundles that write: the loop of decoding is inside, and what they write is what the live network writes, token for token."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_text_runs import TRANSFORMER, Alphabet, translation
from trained import FACTS, untrained

from research.application import runtime
from research.application.settings import Export
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Bytes
from research.data.windows import TokenWindows
from research.decoding.settings import Decoding, Greedy
from research.experiment import Experiment
from research.models import gpt2
from research.modes.export import export
from research.optimizers.adam import Adam
from research.tasks.language_modeling import LanguageModeling
from research.training.settings import Training

SETTINGS = Export(batch_sizes=(4,), num_examples=4)  # one program


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
  """A network that translates numbers, and its bundle."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    whole = translation(TRANSFORMER)
    data = dataclasses.replace(whole.data, buckets=Buckets(features=("source", "targets"), lengths=((6, 6),)))
    writing = dataclasses.replace(whole.task.writing, decoding=Decoding(search=Greedy(), max_new_tokens=5))
    task = dataclasses.replace(whole.task, writing=writing)
    trained = untrained(dataclasses.replace(whole, data=data, task=task), tmp_path_factory.mktemp("run"))
    params = jax.tree.map(lambda p: 2 * p, trained.params)  # so that it does not say the same of everything
    trained = dataclasses.replace(trained, params=params)
    return trained, runtime.load(pathlib.Path(export(trained, SETTINGS, "numbers", FACTS)))


def test_a_translation_is_the_live_networks(translator):
  trained, bundle = translator
  assert bundle.spec["gate"]["same_tokens"] == 4
  texts = ["two nine", "one one one", "four", "two nine zero seven"]
  answers = bundle.run([bundle.prepare(text) for text in texts])
  tokenizers = trained.opened.evaluation["test"].tokenizers
  ids = [[*row, tokenizers["source"].eos_id] for row in tokenizers["source"].encode(texts)]
  source, length = np.array([row + [0] * (6 - len(row)) for row in ids]), np.array(list(map(len, ids)))
  forward = jax.jit(lambda p, targets: trained.task.forward(trained.network.bind(p, {}), {
      "source": source, "source_length": length, "targets": targets}, None).logits().argmax(-1))
  written = np.zeros((4, 5), np.int32)
  for t in range(5):
    written[:, t] = forward(trained.params, written)[:, t]
  ended = [row.tolist().index(2) if 2 in row else 5 for row in written]
  expected = tokenizers["targets"].decode([row[:end] for row, end in zip(written, ended)])
  assert [answer["text"] for answer in answers] == expected
  assert len({answer["text"] for answer in answers}) > 1
  assert answers[0]["source_tokens"] == ["two", "nine", "</s>"]
  for answer in answers:
    rows = np.array(answer["alignment"])
    assert rows.shape == (len(answer["output_tokens"]), len(answer["source_tokens"]))
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-3)  # four digits of each


def test_a_text_that_is_too_long_says_what_was_read(translator):
  _, bundle = translator
  long, short = bundle.run([bundle.prepare("one two three four five six seven"), bundle.prepare("one two three four five six")])
  assert long["truncated"] == "only the first 6 of 8 tokens were read"
  assert long["text"] == short["text"]
  for value, error in (("", "the text is empty"), (b"\xff", "no UTF-8 text: byte 0 is 0xff"), ("a\ud800", "half of a pair")):
    with pytest.raises(runtime.BadInput, match=error):
      bundle.prepare(value)
  with pytest.raises(runtime.BadInput, match="there is no option 'tempo'"):
    bundle.prepare("one", tempo=1)


def test_a_changed_tokenizer_is_refused(translator):
  _, bundle = translator
  path = bundle.folder / "tokenizers" / "source" / "fieldwork_tokenizer.json"
  whole = path.read_text()
  path.write_text(whole.replace("nine", "none"))
  with pytest.raises(runtime.BundleError, match=r"tokenizers/source/fieldwork_tokenizer\.json has changed"):
    runtime.load(bundle.folder)
  path.write_text(whole)


@pytest.mark.heavy
def test_a_language_model_goes_on_as_it_is_asked_to(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  tokens = Tokens(name="inputs", text="text", tokenizer=Bytes())
  windows = TokenWindows(source=Tokenized(source=Alphabet(), features=(tokens,)), length=8)
  experiment = Experiment(
      data=Data(train=windows, evaluation={"valid": windows}, batch_size=4), optimizer=Adam(learning_rate=0.0),
      task=LanguageModeling(vocab_size=259, token="byte"), training=Training(steps=Duration(1)),
      model=gpt2.make(dim=16, num_layers=1, num_heads=2, max_length=8))
  trained = untrained(experiment, tmp_path)
  trained = dataclasses.replace(trained, params=jax.tree.map(lambda p: 4 * p, trained.params))
  bundle = runtime.load(pathlib.Path(export(trained, SETTINGS, "alphabet", FACTS)))
  assert bundle.spec["gate"]["same_tokens"] == 4

  model = trained.network.bind(trained.params, trained.buffers)
  logits = jax.jit(lambda ids: model(ids).logits()[0, -1])
  ids, expected = list(b"abcd"), []
  for _ in range(3):
    expected.append(int(np.argmax(logits(jnp.array([ids + expected])))))
  asked = lambda **options: bundle.prepare("abcd", max_tokens=3, **options)
  greedy, drawn, again, other = bundle.run([asked(), *(asked(temperature=5.0, seed=seed) for seed in (1, 1, 2))])
  assert greedy["text"] == bytes(expected).decode(errors="replace")
  assert greedy["usage"] == {"prompt_tokens": 4, "completion_tokens": 3}
  assert drawn == again
  assert len({drawn["text"], greedy["text"], other["text"]}) > 1
  nucleus, = bundle.run([asked(temperature=5.0, top_p=0.001, seed=1)])
  assert nucleus["text"] == greedy["text"]
  long = bundle.prepare("abcdefgh")
  assert long.notes == {"truncated": "only the last 6 of 8 tokens were read"}
  np.testing.assert_array_equal(long.features["inputs"], list(b"cdefgh"))
  with pytest.raises(runtime.BadInput, match="max_tokens=0: must be from 1 to 8"):
    bundle.prepare("abcd", max_tokens=0)
