"""Recordings that are longer than what a network was compiled for: heard in pieces, answered as one."""

import dataclasses
import io
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from sounds import file, sounds
from trained import FACTS, untrained

from research.application import runtime
from research.application.settings import Export
from research.augmentation.audio_features import KaldiFilterBank
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import transcribed
from research.decoding.ctc_search import BestPath
from research.decoding.transducer_search import TransducerGreedy
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import conformer, ctc_recurrent, transducer
from research.modes.export import export
from research.optimizers.adam import Adam
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.answers import Emissions, Transcripts
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.transduction import Transduction
from research.tasks.writing import Against, Writing
from research.training.settings import Training

RATE = 8000


def noise(seconds: float, seed: int) -> np.ndarray:
  """Noise that grows and fades."""
  rng, num = np.random.default_rng(seed), round(seconds * RATE)
  return 0.2 * rng.normal(size=num) * (1.1 + np.sin(np.arange(num) / 900))


def exported(kind, decoding, model, folders, change):
  """A network of random weights, and its bundle, for five seconds at a time."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(folders.mktemp("cache")))
    source = sounds(folders.mktemp("noises"), [noise(1 + i, i) for i in range(4)], RATE, ["ab", "ba", "abb", "a"])
    spoken = transcribed(source, Characters(specials=("<pad>",)), source)
    writing = Writing(decoding=decoding, against=(Against(metric=ErrorRate(unit="character"), reference="text"),))
    experiment = Experiment(
        data=Data(train=spoken, evaluation={"test": spoken}, batch_size=4, on_device=(KaldiFilterBank(rate=RATE, num_mels=20),),
                  transforms=(DecodeAudio(rate=RATE), Select(names=("inputs", "targets"))),
                  buckets=Buckets(features=("inputs", "targets"), lengths=((5 * RATE, 4),))),
        task=kind(vocab_size=3, writing=writing), model=model,
        optimizer=Adam(learning_rate=0.0), training=Training(steps=Duration(1)))
    trained = untrained(experiment, folders.mktemp("run"))
    trained = dataclasses.replace(trained, params=change(trained.params))
    return trained, runtime.load(pathlib.Path(export(trained, Export(batch_sizes=(1, 2), num_examples=4), "noise", FACTS)))


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
  """One whose outputs hear a third of a second."""
  return exported(Transcription, BestPath(), ctc_recurrent.Config(
      channels=(8, 8), kernels=(5, 5), strides=(2, 2), num_layers=0), tmp_path_factory,
      lambda params: jax.tree.map(lambda p: 2 * p, params))


def test_a_transducer_says_what_it_writes_and_when(tmp_path_factory):
  trained, bundle = exported(Transduction, TransducerGreedy(max_symbols=1), transducer.Config(
      encoder=conformer.Config(dim=8, num_layers=1, num_heads=2, channels=4), embedding=5, width=6, joint=7), tmp_path_factory,
      lambda params: {**params, "out": {"kernel": 5 * params["out"]["kernel"], "bias": jnp.array([-4.0, 0, 0])}})
  samples = noise(4, 9)
  batch = trained.network.see({"inputs": long_samples(samples), "inputs_length": np.array([len(samples)])})
  written = trained.task.write(trained.network.bind(trained.params, trained.buffers), batch)
  texts = trained.task.texts(jax.device_get(written), trained.opened.evaluation["test"].tokenizers["targets"])
  short, long = bundle.run([bundle.prepare(file(samples, RATE)), bundle.prepare(file(noise(13.3, 9), RATE))])
  assert len(texts[0]) > 20 and short["text"] == texts[0]
  assert [word["word"] for word in short["words"]] == short["text"].split()
  assert len(long["text"]) > 2 * len(texts[0]) and 12 < long["words"][-1]["end"] <= 13.3


def test_what_is_heard_in_pieces_is_what_is_heard_at_once(listener):
  trained, bundle = listener
  assert bundle.spec["long"] == 2 * RATE
  samples = noise(13.3, 9)
  long, short = bundle.prepare(file(samples, RATE)), bundle.prepare(file(samples[:4 * RATE], RATE))
  assert len(long.pieces) == 6 and not short.pieces and not long.notes
  whole = trained.network.see({"inputs": long_samples(samples), "inputs_length": np.array([len(samples)])})
  frames = trained.task.forward(trained.network.bind(trained.params, trained.buffers), whole, None)
  arrays = {"path": np.asarray(frames.logits.argmax(-1), np.int32), "length": np.asarray(frames.lengths),
            "rate": np.array([25.0])}
  expected, = bundle._answer(arrays, [{}])
  assert len(expected["text"]) > 20
  answers = bundle.run([short, long])
  assert answers[1] == expected
  assert answers[0] == bundle.run([short])[0] != expected


def long_samples(samples: np.ndarray) -> np.ndarray:
  """(1, N) as the file gives them."""
  return soundfile.read(io.BytesIO(file(samples, RATE)), dtype="float32")[0][None]


def test_pieces_meet_where_both_are_silent():
  """The second hears the last label of the first a frame earlier: cut in the middle it would be lost, or said twice."""
  words = Transcripts(tokenizer="none", blank=0)
  path = np.array([[0, 1, 0, 0, 2, 0, 0, 3], [0, 0, 2, 2, 0, 0, 3, 0], [0, 2, 0, 3, 0, 1, 9, 9]])
  arrays = {"path": path, "length": np.array([8, 8, 6]), "rate": np.array([2.0] * 3)}
  joined = words.joined(arrays, 1.0)
  assert joined["path"].tolist() == [[0, 1, 0, 0, 2, 0, 0, 3, 0, 1]] and joined["length"].tolist() == [10]


def test_pieces_of_a_transducer_meet_where_both_are_silent():
  words = Emissions(tokenizer="none")
  arrays = {"labels": np.array([[1, 2, 3, 0], [2, 3, 0, 0], [2, 3, 1, 1]]),
            "frames": np.array([[1, 4, 7, 0], [2, 6, 0, 0], [1, 3, 5, 5]]), "length": np.array([3, 2, 4]),
            "num_frames": np.array([8, 8, 6]), "rate": np.array([2.0] * 3)}
  joined = words.joined(arrays, 1.0)
  assert joined["labels"].tolist() == [[1, 2, 3, 1, 1]] and joined["frames"].tolist() == [[1, 4, 7, 9, 9]]
  assert joined["num_frames"].tolist() == [10] and joined["length"].tolist() == [5]
