"""Small generated data in the place of files, with the same features: an experiment's twin builds and learns anywhere."""

import dataclasses
import functools

import cv2
import numpy as np

from research.data.chosen import Chosen
from research.data.examples import Columns
from research.data.glued import Glued, wav
from research.data.image_folder import ImageFolder
from research.data.list_ops import ListOps
from research.data.prepared import Prepared
from research.data.sources import JSONL, Arrays, Records, Source
from research.data.speech import CommonVoice, LibriSpeech, PackedFrames
from research.data.text import TextFile, Transformed
from research.data.tfds import TFDS
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Bytes, Stored, Trained
from research.data.windows import TokenWindows
from research.features import Features
from research.preprocessing.text.training import SentencePieces


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patterns(Source):
  """Images with a grating of a class's own direction and colour under noise, easy to tell apart.

  Attributes:
    num: examples.
    num_classes: classes, in turn.
    shape: of an image.
    image: the feature's name; encoded files if it is `record`, else arrays.
    label: the label's name.
    seed: of the noise.
  """

  num: int
  num_classes: int
  shape: tuple[int, ...]
  image: str
  label: str
  seed: int = 0

  def open_all(self, data_dir):
    rng = np.random.default_rng(self.seed)
    labels = np.arange(self.num) % self.num_classes
    rows, columns = np.mgrid[:self.shape[0], :self.shape[1]]
    images = []
    for label in labels:
      angle = np.pi * label / self.num_classes
      grating = np.cos(0.6 * (np.cos(angle) * rows + np.sin(angle) * columns))
      colour = 100 + 50 * np.cos(2 * np.pi * label / self.num_classes + np.arange(3))[:len(self.shape[2:]) and self.shape[2]]
      image = (colour if len(self.shape) > 2 else 128) + 60 * (grating[..., None] if len(self.shape) > 2 else grating)
      images.append(np.clip(image + rng.normal(0, 10, self.shape), 0, 255).astype(np.uint8))
    if self.image == "record":
      images = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    else:
      images = np.stack(images)
    return Columns({self.image: images, self.label: labels.astype(np.int32)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clusters(Source):
  """Vectors (64,) around a centre for each class.

  Attributes:
    num: examples.
    num_classes: classes, in turn.
    seed: of the noise.
  """

  num: int
  num_classes: int
  seed: int

  def open_all(self, data_dir):
    labels = np.arange(self.num, dtype=np.int32) % self.num_classes
    centres = np.random.default_rng(0).normal(size=(self.num_classes, 64))
    inputs = centres[labels] + np.random.default_rng(self.seed).normal(size=(self.num, 64))
    return Columns({"inputs": inputs.astype(np.float32), "labels": labels})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentences(Source):
  """Sentences of one to eight words of six, under all names that the experiments' texts have; the first word is the class.

  Attributes:
    num: examples.
    seed: of the words.
    num_classes: classes, of which there are six at most.
  """

  num: int
  seed: int = 0
  num_classes: int = 6

  def open_all(self, data_dir):
    rng, words = np.random.default_rng(self.seed), ["a", "bee", "can", "do", "every", "fly", "go", "hums", "it", "jumps"]
    sentences = [" ".join(rng.choice(words[:6], rng.integers(1, 9))) for _ in range(self.num)]
    labels = np.array([words.index(sentence.split()[0]) % self.num_classes for sentence in sentences])
    return Columns({**dict.fromkeys(TEXTS, sentences), "label": labels,
                    **{name: [[sentence] for sentence in sentences] for name in ("source", "target")}})

  def files(self, data_dir):
    return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tones(Source):
  """Speech of beeps: every word is a tone of its own, every letter of it an eighth of a second, with the features of speech.

  Attributes:
    num: examples.
    rate: samples a second.
    longest: words of an example at most.
    frames: name and number of features of frames that take the sound's place, 100 a second; None for sound.
    seed: of words and noise.
  """

  num: int
  rate: int = 16_000
  longest: int = 4
  frames: tuple[str, int] | None = None
  seed: int = 0

  def open_all(self, data_dir):
    rng, words = np.random.default_rng(self.seed), ["A", "ON", "BEE", "DO", "IT"]
    said = [rng.integers(len(words), size=rng.integers(1, self.longest + 1)) for _ in range(self.num)]
    columns = {"text": [" ".join(words[n] for n in its) for its in said], "digit": np.array([its[0] for its in said]),
               "speaker": [("george", "jackson", "lucas", "nicolas", "theo")[n % 5] for n in range(self.num)]}
    if self.frames is not None:
      name, num = self.frames
      columns[name] = [np.concatenate([np.eye(num)[np.full(25, n)] for n in its]) + rng.normal(0, 0.1, (25 * len(its), num))
                       for its in said]
      return _Lengths({**columns, name: [x.astype(np.float16) for x in columns[name]]}, name, 1)
    size = self.rate // 8
    tone = lambda n: np.sin(2 * np.pi * (200 + 150 * n) * np.arange(size * len(words[n])) / self.rate) * 8000
    silence = np.zeros(size // 4)
    samples = [np.concatenate([part for n in its for part in (tone(n), silence)]) for its in said]
    samples = [(x + rng.normal(0, 30, len(x))).astype(np.int16) for x in samples]
    return _Lengths({**columns, "record": [wav(x, self.rate) for x in samples]}, "record", 2 * self.rate)

  def files(self, data_dir):
    return ()


class _Lengths(Columns):
  """Columns of which one is ragged: its lengths, divided."""

  def __init__(self, columns, name, divisor):
    super().__init__(columns)
    self._lengths = {name: np.array([len(x) for x in columns[name]]) / divisor}

  @property
  def lengths(self):
    return self._lengths


def twin(data, num_classes: int, *, num: int = 256, side: int = 64):
  """The same data with generated examples where it names files."""
  of = functools.partial(_of, num_classes=num_classes, num=max(num, data.batch_size), side=side)
  return dataclasses.replace(data, train=data.train and of(data.train),
                             evaluation={name: of(source, seed=1) for name, source in data.evaluation.items()})


TEXTS = ("en", "de", "command", "actions", "text", "body", "subject", "article", "title", "highlights", "document", "summary",
         "sentence", "sentence1", "sentence2", "question", "question1", "question2", "premise", "hypothesis")
_NESTED = ("source", "features", "tokenizer", "corpus")  # where texts' sources hold others


def _of(source, *, num_classes, num, side, seed=0):
  match source:
    case Arrays(path=path) if "mnist" in path:
      return Patterns(num=num, num_classes=num_classes, shape=(28, 28), image="image", label="label", seed=seed)
    case Records(path=path) if path.startswith("images/"):
      shape = (32, 32, 3) if "cifar" in path else (side, side, 3)
      return Patterns(num=num, num_classes=num_classes, shape=shape, image="record", label="label", seed=seed)
    case TFDS(name=name) if name.startswith("fieldwork_"):
      return Sentences(num=num, num_classes=num_classes, seed=seed)
    case Stored() | Trained(settings=SentencePieces()):  # files, or more pieces than so few words have
      return Bytes()
    case TFDS():
      return Patterns(num=num, num_classes=num_classes, shape=(side, side, 3), image="image", label="label", seed=seed)
    case Prepared():
      inner = _of(source.source, num_classes=num_classes, num=num, side=side, seed=seed)
      return dataclasses.replace(source, source=inner)
    case Features():  # as if they were computed
      return Clusters(num=num, num_classes=num_classes, seed=seed)
    case Records(path=path) if path.startswith("speech/"):
      digits = "fsdd" in path
      return Tones(num=num, rate=8000 if digits or "yesno" in path else 16_000, longest=1 if digits else 4, seed=seed)
    case LibriSpeech() | CommonVoice():
      return Tones(num=num, seed=seed)
    case PackedFrames():
      return Tones(num=num, frames=(source.name, 13), seed=seed)
    case ListOps():  # its own twin, of short lists
      return dataclasses.replace(source, sizes=(num, 64, 64), max_depth=3, max_args=4, lengths=(3, 30))
    case JSONL():
      return Sentences(num=num, num_classes=num_classes, seed=seed)
    case TextFile():  # long enough for any window
      return Sentences(num=4 * num, seed=seed)
    case Tokenized() | TokenWindows() | Transformed() | Trained() | Tokens() | Chosen() | Glued():
      of = lambda value, seed: tuple(of(v, seed) for v in value) if isinstance(value, tuple) else (
          _of(value, num_classes=num_classes, num=num, side=side, seed=seed))
      fields = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}
      if isinstance(source, TokenWindows):  # a short text has enough of them
        source = dataclasses.replace(source, length=min(source.length, 16), stride=source.stride and 1)
      return dataclasses.replace(source, **{name: of(value, 0 if name == "corpus" else seed)
                                            for name, value in fields.items() if name in _NESTED})
    case ImageFolder():
      return Patterns(num=num, num_classes=num_classes, shape=(side, side, 3), image="record", label="labels", seed=seed)
  return source
