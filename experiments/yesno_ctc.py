"""Povey et al. 2011, Kaldi, its smallest recipe: eight times "yes" or "no" in Hebrew, here by CTC.

  python launch.py --experiment=yesno_ctc --data_dir=DATA

DATA holds speech/yesno. About 20 seconds a seed on two CPU cores. 31 recordings to learn from, 29 to test on, as the recipe
splits them; one speaker. Expected: no word wrong, or hardly one.

A word lasts half a second. With an output every 0.16 s and convolutions alone, 23 of the recordings taught the other 8 from
each of nine seeds; with one every 0.08 s, with or without recurrent layers, most seeds learnt the 23 by heart. All that are
trained on begin with NO and all that are tested with YES: convolutions that saw 1.25 s, and so the silence before the first
word, got that one wrong (13 % errors, the first run), so these see 0.3 s.
"""

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.augmentation.spec_augment import SpecAugment
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.sources import Records
from research.data.speech import transcribed
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


def experiment() -> Experiment:
  train, test = (Records(path=f"speech/yesno/{split}.npz") for split in ("train", "test"))
  spoken = lambda source: transcribed(source, Words(specials=("<pad>",)), train)
  return Experiment(
      paper=Paper("The Kaldi speech recognition toolkit", "Povey et al.", 2011, "ASRU", "https://kaldi-asr.org"),
      data=Data(train=spoken(train), evaluation={"test": spoken(test)}, batch_size=8, eval_batch_size=32,
                transforms=(DecodeAudio(rate=8000), SpeedPerturbation(speeds=(0.8, 0.9, 1.0, 1.1, 1.25)),
                            Select(names=("inputs", "targets"))),
                on_device=(LogMel(rate=8000, frame_size=256, hop=80, num_mels=40), NormalizeUtterance(),
                           SpecAugment(max_frequency=8, max_time=10)),
                buckets=Buckets(features=("inputs", "targets"), lengths=((70_000, 8),))),
      task=Transcription(vocab_size=3, token="word", writing=Writing(
          decoding=BestPath(), against=(Against(metric=ErrorRate(), reference="text"),))),
      model=ctc_recurrent.Config(channels=(64,) * 4, kernels=(3,) * 4, strides=(2,) * 4, num_layers=0),
      optimizer=Adam(learning_rate=3e-3, clip_norm=5.0, schedule=Cosine()),
      training=Training(steps=Duration(400), evaluate_every=Duration(100)),
      targets=(Target(metric="test/wer", criterion=at_most(2), signature="WER|normalizer:none|ctc best path",
                      says="31 recordings suffice to tell two words apart, and to find them, % errors"),))
