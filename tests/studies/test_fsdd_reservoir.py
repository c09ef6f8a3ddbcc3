"""The reservoir is as random and as leaky as it says, the readout is ridge regression, and generated tones are told apart."""

import io
import json

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from parts import InMemory

from experiments import fsdd_reservoir
from research import config
from research.studies.fsdd_reservoir import predictions, read, reservoir, ridge, states


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
  """Three speakers say ten digits: chords of a digit's own, and voices a little higher or lower. 60 to train on, 30 to test."""
  rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("data")
  (root / "speech/fsdd").mkdir(parents=True)
  for split, takes in (("train", 2), ("test", 1)):
    files, rows = [], []
    for take in range(takes):
      for voice, speaker in enumerate(("ann", "bob", "eve")):
        for digit in range(10):
          time = np.arange(rng.integers(1200, 2000)) / 8000
          tones = sum(np.sin(2 * np.pi * f * (1 + 0.02 * voice) * time) for f in (300 + 90 * digit, 2900 - 140 * digit))
          out = io.BytesIO()
          soundfile.write(out, 0.2 * tones + 0.02 * rng.normal(size=len(time)), 8000, format="FLAC")
          files.append(out.getvalue())
          rows.append(json.dumps({"id": f"{digit}_{speaker}_{take}", "speaker": speaker, "digit": digit}))
    np.savez(root / f"speech/fsdd/{split}.npz", data=np.frombuffer(b"".join(files), np.uint8),
             offsets=np.cumsum([0, *map(len, files)]))
    (root / f"speech/fsdd/{split}.jsonl").write_text("\n".join(rows))
  return root


def test_weights_are_sparse_and_have_the_radius():
  weights = reservoir(np.random.default_rng(0), 13, 60, links=10, input_scale=0.3, bias=0.9, radius=0.7)
  assert (np.count_nonzero(weights["input"], axis=0) == 10).all()
  assert (np.count_nonzero(weights["recurrent"], axis=0) == 10).all()
  assert np.abs(np.linalg.eigvals(weights["recurrent"])).max() == pytest.approx(0.7)
  assert 0.28 < np.abs(weights["input"]).max() <= 0.3 and 0.8 < np.abs(weights["bias"]).max() <= 0.9


def test_states_leak_as_written():
  rng = np.random.default_rng(0)
  weights = {name: jnp.asarray(w, jnp.float32) for name, w in
             reservoir(rng, 3, 12, links=3, input_scale=1, bias=1, radius=0.9).items()}
  x = rng.normal(size=(2, 4, 3)).astype(np.float32)
  found, state = states(weights, x, 0.4), np.zeros((2, 12))
  for t in range(4):
    state = 0.6 * state + 0.4 * np.tanh(x[:, t] @ weights["input"] + weights["bias"] + state @ weights["recurrent"])
    np.testing.assert_allclose(found[:, t], state, atol=1e-6)


def test_the_readout_minimises_what_it_says():
  rng = np.random.default_rng(0)
  inputs, labels = [rng.normal(size=(n, 4)) for n in (5, 9, 7)], np.array([2, 0, 2])
  readout = ridge(inputs, labels, 0.5)
  frames, targets = np.concatenate(inputs), np.eye(10)[np.repeat(labels, [5, 9, 7])]
  frames = np.pad(frames, ((0, 0), (0, 1)), constant_values=1)
  np.testing.assert_allclose(frames.T @ (frames @ readout - targets) + 0.5 * readout, 0, atol=1e-9)
  scores = [(np.pad(x, ((0, 0), (0, 1)), constant_values=1) @ readout).sum(0).argmax() for x in inputs]
  np.testing.assert_array_equal(predictions(readout, inputs), scores)


def test_features_come_in_the_order_of_the_recordings(recordings):
  found = read(recordings, "train")
  lengths = [len(soundfile.read(io.BytesIO(r))[0]) for r in _records(recordings / "speech/fsdd/train.npz")]
  assert [len(x) for x in found.features] == [-(-n // 80) for n in lengths] and found.features[0].shape[1] == 13
  assert found.digits[:12].tolist() == [*range(10), 0, 1] and found.speakers[10] == "bob"


def _records(path):
  stored = dict(np.load(path))
  return [stored["data"][a:b].tobytes() for a, b in zip(stored["offsets"], stored["offsets"][1:])]


def test_digits_are_recognised_and_wrong_labels_are_not(recordings):
  study = config.override(fsdd_reservoir.experiment(), {"units": (20, 40)})
  study.check(recordings)
  found = study.measure(0, InMemory(recordings))
  assert found.metrics["accuracy"] == found.metrics["accuracy_40"] >= 95
  held = [found.metrics[f"unseen_{speaker}"] for speaker in ("ann", "bob", "eve")]
  assert found.metrics["unseen_speaker"] == pytest.approx(np.mean(held))
  train = read(recordings, "train")
  shuffled = np.random.default_rng(0).permutation(train.digits)
  guess = study._guess(0, 20, type(train)(train.features, shuffled, train.speakers), read(recordings, "test"))
  assert np.mean(guess == read(recordings, "test").digits) < 0.5


def test_what_is_missing_is_told(tmp_path):
  with pytest.raises(config.UserError, match=r"speech/fsdd/train\.npz does not exist"):
    fsdd_reservoir.experiment().check(tmp_path)
  with pytest.raises(config.ConfigError, match="must rise and be at least links=10"):
    config.override(fsdd_reservoir.experiment(), {"units": (5,)})
