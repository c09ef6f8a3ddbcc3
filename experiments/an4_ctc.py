"""Acero, Stern 1990: AN4, spelled words, numbers and commands, by CTC on cepstra that were computed elsewhere.

  python launch.py --experiment=an4_ctc --data_dir=DATA

DATA holds speech/an4_mfcc: 13 coefficients, 100 times a second, the official split: 42 minutes to train on, ten other speakers
to test on. 8 minutes on one CPU core. No published figure is comparable; ours were fixed before the first run.
"""

from research.augmentation.audio_features import Deltas
from research.augmentation.feature_normalization import NormalizeUtterance
from research.augmentation.spec_augment import SpecAugment
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import PackedFrames, transcribed
from research.decoding.ctc_search import PrefixBeamSearch
from research.experiment import Experiment
from research.metrics.speech import BelowUnigram, ErrorRate
from research.models import ctc_recurrent
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least, at_most
from research.preprocessing.arrays import Rename, Select
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training


def experiment() -> Experiment:
  train, test = (PackedFrames(path=f"speech/an4_mfcc/{split}.npz", name="mfcc") for split in ("train", "test"))
  spoken = lambda source: transcribed(source, Characters(specials=("<pad>",)), train, audio="mfcc")
  characters, search = ErrorRate(unit="character"), PrefixBeamSearch()
  against = tuple(Against(metric=metric, reference="text") for metric in (characters, ErrorRate(), BelowUnigram()))
  signature = f"{characters.metrics['cer'].signature}|{search.signature}"
  return Experiment(
      paper=Paper("Environmental robustness in automatic speech recognition", "Acero, Stern", 1990, "ICASSP",
                  "https://doi.org/10.1109/ICASSP.1990.115971"),
      data=Data(train=spoken(train), evaluation={"test": spoken(test)}, batch_size=16, eval_batch_size=32,
                transforms=(Rename(pairs=(("mfcc", "inputs"),)), Select(names=("inputs", "targets"))),
                on_device=(NormalizeUtterance(), Deltas(), SpecAugment(max_frequency=6, max_time=20, max_share=0.1)),
                buckets=Buckets(features=("inputs", "targets"), lengths=((200, 60), (400, 60), (660, 60)))),
      task=Transcription(vocab_size=28, writing=Writing(decoding=search, against=against)),
      model=ctc_recurrent.Config(channels=(128, 128), strides=(1, 2), width=128, num_layers=2, dropout=0.3),
      optimizer=Adam(learning_rate=1e-3, clip_norm=5.0, schedule=Cosine(warmup=Duration(5, "%"))), seeds=(0,),
      training=Training(steps=Duration(40, "ep"), evaluate_every=Duration(10, "ep")),
      targets=(Target(metric="test/cer", criterion=at_most(25), signature=signature,
                      says="ten speakers who were never heard are understood, % of characters wrong"),
               Target(metric="test/cer_below_unigram", criterion=at_least(40), signature=signature,
                      says="far better than texts that hear nothing, in points of %")))
