"""Graves, Fernández, Gomez, Schmidhuber 2006, CTC: strings of spoken digits without knowing where each begins.

  python launch.py --experiment=ctc_digits --data_dir=DATA

DATA holds speech/fsdd. About 3 minutes a seed on two CPU cores. Expected: below 2 % digit errors on speakers who were heard in
training. A fifth speaker, who was not, is reported beside it: many more errors, and no criterion.
"""

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.config import Duration
from research.data.buckets import Buckets
from research.data.chosen import Chosen
from research.data.dataset import Data
from research.data.glued import Glued
from research.data.sources import Records
from research.data.speech import transcribed
from research.data.tokenized import Tokenized
from research.decoding.ctc_search import BestPath
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import ctc_recurrent
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_most
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.audio_augmentations import SpeedPerturbation
from research.preprocessing.text.training import Words
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training


def strings(split: str, num: int, *, heard: bool, seed: int) -> Tokenized:
  """Strings of one to five digits, each by one speaker: theo, or one of the four others."""
  def glued(split, num, heard, seed):
    clips = Chosen(source=Records(path=f"speech/fsdd/{split}.npz"), field="speaker", values=("theo",), leave_out=heard)
    return Glued(source=clips, text="digit", num=num, rate=8000, seed=seed)
  return transcribed(glued(split, num, heard, seed), Words(specials=("<pad>",)), glued("train", 1000, True, 0))


def experiment() -> Experiment:
  tests = {"seen": strings("test", 500, heard=True, seed=2), "unseen": strings("test", 500, heard=False, seed=3)}
  return Experiment(
      paper=Paper("Connectionist temporal classification", "Graves, Fernández, Gomez, Schmidhuber", 2006, "ICML",
                  "https://doi.org/10.1145/1143844.1143891"),
      data=Data(train=strings("train", 50_000, heard=True, seed=1), evaluation=tests, batch_size=16, eval_batch_size=64,
                transforms=(DecodeAudio(rate=8000), SpeedPerturbation(), Select(names=("inputs", "targets"))),
                on_device=(LogMel(rate=8000, frame_size=256, hop=80, num_mels=40), NormalizeUtterance()),
                buckets=Buckets(features=("inputs", "targets"), lengths=((8_000, 5), (16_000, 5), (32_000, 5)))),
      task=Transcription(vocab_size=11, token="word", noise_levels=(20, 10, 5, 0), writing=Writing(
          decoding=BestPath(), against=(Against(metric=ErrorRate(unit="digit"), reference="text"),))),
      model=ctc_recurrent.Config(width=128), optimizer=Adam(learning_rate=2e-3, clip_norm=5.0, schedule=Cosine()),
      training=Training(steps=Duration(2000), evaluate_every=Duration(500)),
      targets=(Target(metric="seen/der", criterion=at_most(2), signature="DER|spaces:dropped|normalizer:none|ctc best path",
                      says="the digits of strings are found without being aligned, % errors"),))
