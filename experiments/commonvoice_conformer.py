"""A Conformer by CTC on Common Voice in French, beside SpeechBrain's transducer. NOT RUN: it needs Common Voice.

Ravanelli et al. 2021: 20.18 % word errors on the test set of the release of 2020-06-22, without a language model.

  python launch.py --experiment=commonvoice_conformer --data_dir=DATA

DATA holds cv-corpus/fr as its archive unpacks, with clip_durations.tsv where the release has one. Some 48 hours on 8 GPUs.
Texts are learned as they are typed; scored is what is left of them without case and punctuation.
"""

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.augmentation.spec_augment import SpecAugment
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import CommonVoice, transcribed
from research.decoding.ctc_search import PrefixBeamSearch
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import conformer
from research.optimizers.adam import Adam
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper, Target, at_most
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.training import Subwords
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training

PLACE = "repository, recipes/CommonVoice/ASR/transducer/README.md"


def experiment() -> Experiment:
  train, dev, test = (CommonVoice(path="cv-corpus/fr", split=split) for split in ("train", "dev", "test"))
  spoken = lambda source: transcribed(source, Subwords(num_merges=500, specials=("<pad>", "<unk>")), train)
  rate, search, model = ErrorRate(normalizer="basic"), PrefixBeamSearch(), conformer.conformer_m()
  return Experiment(
      paper=Paper("SpeechBrain: A general-purpose speech toolkit", "Ravanelli et al.", 2021, "arXiv",
                  "https://arxiv.org/abs/2106.04624"),
      data=Data(train=spoken(train), evaluation={"dev": spoken(dev), "test": spoken(test)}, batch_size=128, eval_batch_size=64,
                transforms=(DecodeAudio(dtype="int16"), Select(names=("inputs", "targets"))),
                on_device=(LogMel(), NormalizeUtterance(), SpecAugment(num_time=10, max_time=1000, max_share=0.05)),
                buckets=Buckets(features=("inputs", "targets"), longer="drop",
                                lengths=((80_000, 60), (112_000, 80), (240_000, 160)))),
      task=Transcription(vocab_size=1000, token="subword", writing=Writing(
          decoding=search, against=(Against(metric=rate, reference="text"),))),
      model=model, seeds=(0,), optimizer=Adam(learning_rate=0.05 / model.dim**0.5, b2=0.98, eps=1e-9, l2=1e-6, clip_norm=5.0,
                                              schedule=InverseSqrt(warmup=Duration(10_000))),
      training=Training(steps=Duration(200_000), precision="bfloat16", evaluate_every=Duration(20_000)),
      targets=(Target(metric="test/wer", criterion=at_most(20.18), published=20.18, place=PLACE,
                      signature=f"{rate.metrics['wer'].signature}|{search.signature}",
                      says="no more word errors than of SpeechBrain's transducer, %"),))
