"""An experiment of seconds that uses much of what training can do, and launch.py as a process that runs it."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent

# Enough happens between its steps (log lines, evaluations, saves) that a kill at a random moment hits each of them.
SMALL = '''"""Noisy clusters: a small network with dropout and a moving average."""

import dataclasses

import numpy as np

from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.experiment import Experiment
from research.models import mlp
from research.optimizers.adamw import AdamW
from research.paper import Paper, Target, at_most
from research.tasks.classification import Classification
from research.training.settings import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clusters(Source):
  """Four classes around random centres.

  Attributes:
    seed: of the noise.
    bad: the number of an example that is not finite.
  """

  seed: int
  bad: int | None = None

  def open_all(self, data_dir):
    labels = np.arange(512) % 4
    centres = np.random.default_rng(0).normal(size=(4, 16))
    inputs = centres[labels] + 2 * np.random.default_rng(self.seed).normal(size=(512, 16))
    if self.bad is not None:
      inputs[self.bad] = np.nan
    return Columns({"inputs": inputs, "labels": labels.astype(np.int32)})


def experiment():
  return Experiment(
      paper=Paper(title="Clusters", authors="Nobody", year=2000, venue="none", url="https://example.org"),
      data=Data(train=Clusters(seed=1), evaluation={"test": Clusters(seed=2)}, batch_size=16, eval_batch_size=64),
      task=Classification(num_classes=4), model=mlp.Config(widths=(32, 32), dropout=0.2),
      optimizer=AdamW(learning_rate=3e-3),
      training=Training(steps=Duration(400), average_decay=0.99, evaluate_with="average", evaluate_every=Duration(20),
                        save_every=Duration(12), log_every=Duration(4)),
      seeds=(0,), targets=(Target(metric="test/loss", criterion=at_most(10), signature="nats", says="it runs to the end"),))
'''


# ViT-S/16 as it is, but on small pictures, and all that is drawn at random on the way there: on the host by two processes of
# two threads each, and on the device.
IMAGES = '''"""Noisy pictures: a Vision Transformer and augmentation."""

import dataclasses

import cv2
import numpy as np

from research.augmentation.erasing import RandomErasing
from research.augmentation.mixing import CutMix, Either, Mixup
from research.augmentation.normalize import signed
from research.config import Duration
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.experiment import Experiment
from research.models import vit
from research.optimizers.adamw import AdamW
from research.paper import Paper, Target, at_most
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import CentreCrop, RandomResizedCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.phases import PerPhase
from research.preprocessing.randaugment import RandAugment
from research.tasks.classification import Classification
from research.training.settings import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures(Source):
  """JPEG files of noise whose mean colour is the class, some of them broken.

  Attributes:
    seed: of the noise.
  """

  seed: int

  def open_all(self, data_dir):
    rng, labels, records = np.random.default_rng(self.seed), np.arange(96) % 4, []
    for label in labels:
      pixels = np.clip(60 * label + rng.normal(0, 30, (80, 96, 3)), 0, 255).astype(np.uint8)
      records.append(cv2.imencode(".jpg", pixels)[1].tobytes())
    records[17] = records[17][:50]
    return Columns({"record": records, "label": labels.astype(np.int32)})


def experiment():
  return Experiment(
      paper=Paper(title="Pictures", authors="Nobody", year=2000, venue="none", url="https://example.org"),
      data=Data(train=Pictures(seed=1), evaluation={"test": Pictures(seed=2)}, batch_size=8, eval_batch_size=32,
                num_workers=2, max_broken_share=0.05, on_device=(
                    signed(), RandomErasing(probability=0.5), Either(first=Mixup(alpha=0.2), second=CutMix(alpha=1.0))),
                transforms=(DecodeImage(), Rename(pairs=(("label", "labels"),)),
                            PerPhase(training=(RandomResizedCrop(size=64, library="opencv"), Flip(), RandAugment(num_layers=2)),
                                     evaluation=(CentreCrop(size=64),)))),
      task=Classification(num_classes=4), model=vit.vit_s(stochastic_depth=0.1, dropout=0.1),
      optimizer=AdamW(learning_rate=1e-4),
      training=Training(steps=Duration(60), evaluate_every=Duration(20), save_every=Duration(6), log_every=Duration(3)),
      seeds=(0,), targets=(Target(metric="test/loss", criterion=at_most(10), signature="nats", says="it runs to the end"),))
'''

# Batches of several lengths, read by two processes.
TEXTS = '''"""Reversed words: an encoder and a decoder."""

import dataclasses

import numpy as np

from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.examples import Columns
from research.data.sources import Source
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Bytes
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.metrics.translation import Chrf
from research.models import transformer_2017
from research.optimizers.adamw import AdamW
from research.paper import Paper, Target, at_most
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words(Source):
  """Words of unequal lengths, and the same backwards.

  Attributes:
    seed: of the letters.
  """

  seed: int

  def open_all(self, data_dir):
    rng = np.random.default_rng(self.seed)
    words = ["".join(rng.choice(list("abcdef"), rng.integers(1, 15))) for _ in range(200)]
    return Columns({"word": words, "backwards": [word[::-1] for word in words]})

  def files(self, data_dir):
    return ()


def experiment():
  features = tuple(Tokens(name=name, text=text, tokenizer=Bytes(), eos=True)
                   for name, text in (("source", "word"), ("targets", "backwards")))
  words = lambda seed: Tokenized(source=Words(seed=seed), features=features)
  return Experiment(
      paper=Paper(title="Words", authors="Nobody", year=2000, venue="none", url="https://example.org"),
      data=Data(train=words(1), evaluation={"test": words(2)}, batch_size=8, eval_batch_size=32, num_workers=2,
                buckets=Buckets(features=("source", "targets"), lengths=((4, 4), (8, 8), (16, 16)))),
      task=TextToText(vocab_size=259, start_id=257, end_id=258, pad_id=256, label_smoothing=0.1, writing=Writing(
          decoding=Decoding(search=Beam(num_beams=2), max_new_tokens=16), source="word",
          against=(Against(metric=Chrf(), reference="backwards"),))),
      model=transformer_2017.make(dim=32, num_layers=2, num_heads=2, mlp_dim=64), optimizer=AdamW(learning_rate=1e-3),
      training=Training(steps=Duration(120), evaluate_every=Duration(30), save_every=Duration(8), log_every=Duration(4)),
      seeds=(0,), targets=(Target(metric="test/accuracy", criterion=at_most(1), signature="top1/subword", says="it ends"),))
'''


# Sounds of several lengths, one broken, spoken faster and slower, read by two processes.
SOUNDS = '''"""Letters that are tones."""

import dataclasses
import io

import numpy as np
import soundfile
from etils import epath

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.augmentation.spec_augment import SpecAugment
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.sources import Source
from research.data.speech import AudioFiles, transcribed
from research.decoding.ctc_search import BestPath
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import conformer
from research.optimizers.adamw import AdamW
from research.paper import Paper, Target, at_most
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.audio_augmentations import SpeedPerturbation
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tones(Source):
  """FLAC files in which every letter is a tone of 0.1 seconds.

  Attributes:
    seed: of the letters.
  """

  seed: int

  def open_all(self, data_dir):
    rng, texts, folder = np.random.default_rng(self.seed), [], epath.Path("tones").absolute() / str(self.seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(90):
      letters = rng.integers(0, 4, rng.integers(2, 11))
      wave = np.sin(2 * np.pi * np.repeat(400 * (1 + letters), 800) * np.arange(800 * len(letters)) / 8000)
      file = io.BytesIO()
      soundfile.write(file, 0.3 * wave + rng.normal(0, 0.01, len(wave)), 8000, format="FLAC")
      texts.append("".join("abcd"[letter] for letter in letters))
      (folder / f"{i}.flac").write_bytes(file.getvalue()[:50 if i == 17 else None])
    return AudioFiles(folder, [f"{i}.flac" for i in range(90)], {"text": texts}, lengths=np.array([len(t) / 10 for t in texts]))

  def files(self, data_dir):
    return ()


def experiment():
  sounds = lambda seed: transcribed(Tones(seed=seed), Characters(specials=("<pad>",)), Tones(seed=1))
  return Experiment(
      paper=Paper(title="Tones", authors="Nobody", year=2000, venue="none", url="https://example.org"),
      data=Data(train=sounds(1), evaluation={"test": sounds(2)}, batch_size=8, eval_batch_size=16, num_workers=2,
                max_broken_share=0.05, on_device=(
                    LogMel(rate=8000, frame_size=256, hop=80, num_mels=20), NormalizeUtterance(),
                    SpecAugment(max_frequency=4, max_time=4)),
                transforms=(DecodeAudio(rate=8000), SpeedPerturbation(), Select(names=("inputs", "targets"))),
                buckets=Buckets(features=("inputs", "targets"), lengths=((3200, 10), (6000, 10), (10_000, 10)))),
      task=Transcription(vocab_size=5, writing=Writing(
          decoding=BestPath(), against=(Against(metric=ErrorRate(unit="character"), reference="text"),))),
      model=conformer.Config(dim=16, num_layers=2, num_heads=2, channels=8, kernel=8), optimizer=AdamW(learning_rate=1e-3),
      training=Training(steps=Duration(120), evaluate_every=Duration(30), save_every=Duration(8), log_every=Duration(4)),
      seeds=(0,), targets=(Target(metric="test/loss", criterion=at_most(100), signature="nats per character", says="it ends"),))
'''


def write(folder: pathlib.Path, process: str = "{}", experiment: str = SMALL) -> pathlib.Path:
  """Puts the experiment's file there, with what it asks of the process."""
  path = folder / "small.py"
  path.write_text(f"{experiment}\n\nPROCESS = {process}\n")
  return path


def start(home: pathlib.Path, *arguments, prefix=(), **environment) -> subprocess.Popen:
  """launch.py with these arguments, as one who lives in `home`."""
  given = {"HOME": str(home), "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", **environment}
  return subprocess.Popen([*prefix, sys.executable, str(ROOT / "launch.py"), *map(str, arguments)], cwd=home, text=True,
                          env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def launch(home: pathlib.Path, *arguments, **settings) -> subprocess.CompletedProcess:
  """The same, to its end."""
  with start(home, *arguments, **settings) as process:
    out, error = process.communicate(timeout=300)
  return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def devices(number: int) -> dict[str, str]:
  """The environment that gives a process so many devices."""
  return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={number}"}
