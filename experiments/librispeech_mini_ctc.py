"""Graves, Fernández, Gomez, Schmidhuber 2006, CTC: letters of read English from an hour of three speakers.

  python launch.py --experiment=librispeech_mini_ctc --data_dir=DATA

DATA holds speech/librispeech_mini, of LibriSpeech (Panayotov et al. 2015): 57 minutes to train on, and another chapter by one
of the three. 17 minutes on one CPU core. No published figure is of this set. Expected: the hour is known by heart, below
3 % character errors, and of the other chapter more is understood than by texts that hear nothing, by 30 points at least. The
recorded run makes 34 % character errors there; with dropout of 0.2 and without normalising by utterance it was 30 %, and 6 % of
what was heard.
"""

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.sources import Records
from research.data.speech import transcribed
from research.decoding.ctc_search import BestPath
from research.experiment import Experiment
from research.metrics.speech import BelowUnigram, ErrorRate
from research.models import ctc_recurrent
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least, at_most
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training


def experiment() -> Experiment:
  train, test = (Records(path=f"speech/librispeech_mini/{split}.npz") for split in ("train", "test"))
  spoken = lambda source: transcribed(source, Characters(specials=("<pad>",)), train)
  search, characters = BestPath(), ErrorRate(unit="character")
  against = tuple(Against(metric=metric, reference="text") for metric in (characters, ErrorRate(), BelowUnigram()))
  signature = f"{characters.metrics['cer'].signature}|{search.signature}"
  return Experiment(
      paper=Paper("Connectionist temporal classification", "Graves, Fernández, Gomez, Schmidhuber", 2006, "ICML",
                  "https://doi.org/10.1145/1143844.1143891"),
      data=Data(train=spoken(train), evaluation={"heard": spoken(train), "test": spoken(test)}, batch_size=4,
                eval_batch_size=16, transforms=(DecodeAudio(), Select(names=("inputs", "targets"))),
                on_device=(LogMel(), NormalizeUtterance()),
                buckets=Buckets(features=("inputs", "targets"), lengths=((128_000, 200), (200_000, 300), (270_000, 300)))),
      task=Transcription(vocab_size=29, writing=Writing(decoding=search, against=against)),
      model=ctc_recurrent.Config(channels=(128, 256), width=256, num_layers=2), seeds=(0,),
      optimizer=Adam(learning_rate=1e-3, b2=0.98, clip_norm=5.0, schedule=Cosine(warmup=Duration(10, "%"))),
      training=Training(steps=Duration(25, "ep"), evaluate_every=Duration(5, "ep"), save_every=Duration(1, "ep")),
      targets=(Target(metric="heard/cer", criterion=at_most(3), signature=signature,
                      says="an hour is learned by heart, % errors"),
               Target(metric="test/cer_below_unigram", criterion=at_least(30), signature=signature,
                      says="another chapter is understood better than by texts that hear nothing, in points")))
