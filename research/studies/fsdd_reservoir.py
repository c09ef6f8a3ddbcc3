"""Spoken digits by an echo state network: a random recurrent network that is never trained, and a linear readout.

B recordings, T frames, C cepstral coefficients, U units, K classes.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from research.augmentation import base as augmentation
from research.augmentation.audio_features import Cepstrum, LogMel
from research.data.files import find
from research.data.sources import Records
from research.figures import Figure, Mark, Matrix, Series
from research.metrics.confusion import confusion_matrix
from research.preprocessing.audio import DecodeAudio
from research.studies.base import Findings, Parts, Study

_FILES = {"train": "speech/fsdd/train.npz", "test": "speech/fsdd/test.npz"}
_RATE, _CLASSES = 8_000, 10
# 32 ms windows 10 ms apart, 100 filters on HTK's mel scale, 13 coefficients: what the notebook asks librosa for.
_FRONTEND = LogMel(rate=_RATE, frame_size=256, hop=80, num_mels=100, scale="htk"), Cepstrum(num=13)
_CHUNK = 250  # recordings at a time


@dataclasses.dataclass(frozen=True)
class Recordings:
  """Features of N recordings, (T, C) each, their digits (N,) and speakers (N,)."""

  features: list[np.ndarray]
  digits: np.ndarray
  speakers: np.ndarray

  def of(self, chosen: np.ndarray) -> "Recordings":
    """Those where `chosen` (N,) holds."""
    return Recordings([self.features[i] for i in np.flatnonzero(chosen)], self.digits[chosen], self.speakers[chosen])


@jax.jit
def _features(batch: dict) -> dict:
  return augmentation.apply(_FRONTEND, batch, None)


def read(data_dir, split: str) -> Recordings:
  """The recordings of a split as cepstral coefficients."""
  examples = Records(path=_FILES[split]).open(data_dir)
  rows = DecodeAudio(rate=_RATE)(examples.read(np.arange(len(examples))), None)
  def frontend(x_BN, length_B):
    batch = _features({"inputs": x_BN, "inputs_length": length_B})
    return batch["inputs"], batch["inputs_length"]

  features = _by_length(list(rows["inputs"]), frontend, _RATE // 4)
  return Recordings(features, np.asarray(rows["digit"]), np.asarray(rows["speaker"]))


def _by_length(sequences: list[np.ndarray], function: Callable, unit: int) -> list[np.ndarray]:
  """What `function` of padded batches (B, T, ...) and lengths (B,) gives, (B, T', ...) and lengths (B,), for each sequence.

  Recordings of like length go together: most last half a second, the longest over two. Lengths are rounded up to `unit`.
  """
  found: dict[int, np.ndarray] = {}
  order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
  for indices in np.split(order, range(_CHUNK, len(order), _CHUNK)):
    longest = math.ceil(len(sequences[indices[-1]]) / unit) * unit
    batch = np.zeros((len(indices), longest, *sequences[0].shape[1:]), np.float32)
    for row, i in zip(batch, indices):
      row[:len(sequences[i])] = sequences[i]
    out, lengths = function(batch, np.array([len(sequences[i]) for i in indices], np.int32))
    found |= {int(i): x[:n] for i, x, n in zip(indices, np.asarray(out), np.asarray(lengths))}
  return [found[i] for i in range(len(sequences))]


def reservoir(rng: np.random.Generator, num_inputs: int, units: int, *, links: int, input_scale: float, bias: float,
              radius: float) -> dict[str, np.ndarray]:
  """Random weights: `links` inputs and `links` other units lead to every unit (fewer where there are no more).

  Input weights and biases are uniform in ±scale; recurrent weights normal, scaled to the spectral radius.
  """
  sparse = lambda draw, num: np.stack([np.bincount(rng.choice(num, min(links, num), replace=False),
                                                   draw(min(links, num)), minlength=num) for _ in range(units)], axis=1)
  recurrent = sparse(rng.standard_normal, units)
  return {"input": input_scale * sparse(lambda n: rng.uniform(-1, 1, n), num_inputs), "bias": bias * rng.uniform(-1, 1, units),
          "recurrent": recurrent * radius / np.abs(np.linalg.eigvals(recurrent)).max()}


@functools.partial(jax.jit, static_argnames="leak")
def states(weights: dict, x_BTC: jax.Array, leak: float) -> jax.Array:
  """States (B, T, U) from 0 on: s ← (1 − leak) s + leak tanh(input + bias + recurrent s)."""
  driven_BTU = x_BTC @ weights["input"] + weights["bias"]

  def step(state_BU, driven_BU):
    state_BU = (1 - leak) * state_BU + leak * jnp.tanh(driven_BU + state_BU @ weights["recurrent"])
    return state_BU, state_BU

  start = jnp.zeros((len(x_BTC), driven_BTU.shape[-1]), driven_BTU.dtype)
  return jnp.swapaxes(jax.lax.scan(step, start, jnp.swapaxes(driven_BTU, 0, 1))[1], 0, 1)


def ridge(inputs: list[np.ndarray], labels: np.ndarray, penalty: float) -> np.ndarray:
  """Linear readout (U + 1, K), the last row its intercept, that fits one-hot labels to every frame; in float64."""
  size = inputs[0].shape[1] + 1
  gram, moment = penalty * np.eye(size), np.zeros((size, _CLASSES))
  for start in range(0, len(inputs), _CHUNK):
    part = inputs[start:start + _CHUNK]
    frames = np.pad(np.concatenate(part).astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    gram += frames.T @ frames
    moment += frames.T @ np.eye(_CLASSES)[np.repeat(labels[start:start + _CHUNK], [len(x) for x in part])]
  return np.linalg.solve(gram, moment)


def predictions(readout: np.ndarray, inputs: list[np.ndarray]) -> np.ndarray:
  """The class whose scores, summed over the frames of a recording, are largest, (N,)."""
  sums = np.stack([np.append(x.sum(0, dtype=np.float64), len(x)) for x in inputs])
  return np.argmax(sums @ readout, axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FSDDReservoir(Study):
  """Recognises digits with reservoirs of several sizes, with none, and with one on speakers it has not heard.

  Attributes:
    units: sizes of the reservoir; the last is the one that is judged.
    leak: how much of a unit is new in each frame.
    radius: spectral radius of the recurrent weights.
    input_scale: largest input weight.
    bias: largest bias.
    links: inputs and units that lead to each unit.
    penalty: of the readout's squared weights.
  """

  units: tuple[int, ...] = (50, 100, 200, 400)
  leak: float = 0.35
  radius: float = 0.74
  input_scale: float = 0.31
  bias: float = 0.9
  links: int = 10
  penalty: float = 5e-3

  def __post_init__(self):
    if min(self.units) < self.links or list(self.units) != sorted(set(self.units)):
      raise ValueError(f"units={self.units}: must rise and be at least links={self.links}")
    if not 0 < self.leak <= 1:
      raise ValueError(f"leak={self.leak}: must be above 0, at most 1")

  def check(self, data_dir) -> None:
    for path in _FILES.values():
      find(data_dir, path)

  def _guess(self, seed: int, units: int, train: Recordings, test: Recordings) -> np.ndarray:
    """Predictions for the test recordings (N,); with 0 units the readout sees the coefficients themselves."""
    frames = np.concatenate(train.features)
    mean, deviation = frames.mean(0), frames.std(0)
    scaled = lambda part: [(x - mean) / deviation for x in part.features]
    if not units:
      return predictions(ridge(scaled(train), train.digits, self.penalty), scaled(test))
    weights = reservoir(np.random.default_rng((seed, units)), frames.shape[1], units, links=self.links, radius=self.radius,
                        input_scale=self.input_scale, bias=self.bias)
    weights = {name: jnp.asarray(w, jnp.float32) for name, w in weights.items()}
    seen = lambda part: _by_length(scaled(part), lambda x, lengths: (states(weights, x, self.leak), lengths), 25)
    return predictions(ridge(seen(train), train.digits, self.penalty), seen(test))

  def measure(self, seed: int, parts: Parts) -> Findings:
    train, test = (read(parts.data_dir, split) for split in ("train", "test"))
    sizes = dict(zip((0, *self.units), parts.each("units", (0, *self.units), lambda n: self._guess(seed, n, train, test))))
    speakers = sorted(set(train.speakers.tolist()))
    # Of a speaker who is held out all is new: the readout, and the mean and deviation of the features.
    unseen = parts.each("unseen", speakers, lambda who: self._guess(
        seed, self.units[-1], train.of(train.speakers != who), test.of(test.speakers == who)))
    percent = lambda right: 100 * float(np.mean(right))
    found = np.asarray(sizes[self.units[-1]])
    held = [percent(np.asarray(guess) == test.digits[test.speakers == who]) for who, guess in zip(speakers, unseen)]
    metrics = {f"accuracy_{n}": percent(np.asarray(guess) == test.digits) for n, guess in sizes.items()}
    metrics |= {f"unseen_{who}": value for who, value in zip(speakers, held)}
    metrics |= {"accuracy": metrics[f"accuracy_{self.units[-1]}"], "no_reservoir": metrics["accuracy_0"],
                "unseen_speaker": float(np.mean(held))}
    heard = [percent(found[test.speakers == who] == test.digits[test.speakers == who]) for who in speakers]
    names = tuple(map(str, range(_CLASSES)))
    counts = confusion_matrix(test.digits, found, _CLASSES)[:, :-1]
    return Findings(metrics=metrics, figures=(
        Figure("Accuracy over size", "units", "test recordings recognised (%)",
               (Series("reservoir", self.units, [metrics[f"accuracy_{n}"] for n in self.units]),), x_scale="log",
               marks=(Mark("y", 97.67, "the notebook, 400 units"), Mark("y", metrics["no_reservoir"], "no reservoir")),
               caption="The readout is linear everywhere; what lifts it above the line without a reservoir is the reservoir's "
                       "memory of the frames before."),
        Figure("Speakers that were heard in training, and not", "speaker", "test recordings recognised (%)",
               (Series("heard", speakers, heard, kind="bars"), Series("not heard", speakers, held, kind="bars")),
               caption="The official split has every speaker on both sides. A new voice costs far more than the last points "
                       "that sizes differ by."),
        Matrix("Digits taken for others", names, names, tuple(map(tuple, counts.tolist())), "spoken", "recognised",
               caption=f"{self.units[-1]} units, seed {seed}."),
    ), notes=(f"Seed {seed}: {int(np.sum(found != test.digits))} of {len(found)} test recordings are wrong.",))
