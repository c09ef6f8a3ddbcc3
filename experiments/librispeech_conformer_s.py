"""Gulati et al. 2020, Conformer S, a transducer of 10.3 million parameters on LibriSpeech. NOT RUN: it needs LibriSpeech.

  python launch.py --experiment=librispeech_conformer_s --data_dir=DATA

DATA holds LibriSpeech/train-clean-100, train-clean-360, train-other-500, test-clean and test-other as their archives unpack.
Some 48 hours on 8 GPUs. Expected: 2.7 % word errors on test-clean and 6.3 % on test-other, without a language model. The paper
leaves batch, length and search open; here 200,000 steps and greedy decoding, without variational noise.
"""

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.augmentation.spec_augment import SpecAugment
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import LibriSpeech, transcribed
from research.decoding.transducer_search import TransducerGreedy
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import transducer
from research.optimizers.adam import Adam
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper, Target, within
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.training import Subwords
from research.tasks.transduction import Transduction
from research.tasks.writing import Against, Writing
from research.training.settings import Training

CONFORMER = Paper("Conformer", "Gulati et al.", 2020, "Interspeech", "https://arxiv.org/abs/2005.08100")
TRAIN = LibriSpeech(parts=tuple(f"LibriSpeech/train-{part}" for part in ("clean-100", "clean-360", "other-500")))


def run(model: transducer.Config, clean: float, other: float, *, paper: Paper = CONFORMER,
        place: str = "table 2, without language model") -> Experiment:
  """A transducer of word pieces; the peak rate is the paper's 0.05/√d."""
  spoken = lambda *parts: transcribed(LibriSpeech(parts=parts), Subwords(num_merges=960, specials=("<pad>",)), TRAIN)
  search, rate = TransducerGreedy(), ErrorRate()
  signature = f"{rate.metrics['wer'].signature}|{search.signature}"
  target = lambda split, published: Target(metric=f"{split}/wer", criterion=within(published, 0.2), published=published,
                                           kind="number", place=place, signature=signature, says=f"errors on test-{split}, %")
  return Experiment(
      paper=paper, model=model, seeds=(0,), targets=(target("clean", clean), target("other", other)),
      data=Data(train=spoken(*TRAIN.parts), batch_size=64, eval_batch_size=16, evaluation={
          split: spoken(f"LibriSpeech/test-{split}") for split in ("clean", "other")},
                transforms=(DecodeAudio(dtype="int16"), Select(names=("inputs", "targets"))),
                on_device=(LogMel(), NormalizeUtterance(), SpecAugment(num_time=10, max_time=1000, max_share=0.05)),
                buckets=Buckets(features=("inputs", "targets"), longer="drop",
                                lengths=((180_000, 130), (280_000, 200), (560_000, 400)))),
      task=Transduction(vocab_size=1024, token="subword", writing=Writing(
          decoding=search, against=(Against(metric=rate, reference="text"),))),
      optimizer=Adam(learning_rate=0.05 / model.encoder.dim**0.5, b2=0.98, eps=1e-9, l2=1e-6, clip_norm=5.0,
                     schedule=InverseSqrt(warmup=Duration(10_000))),
      training=Training(steps=Duration(200_000), precision="bfloat16", evaluate_every=Duration(20_000)))


def experiment() -> Experiment:
  return run(transducer.conformer_transducer_s(), 2.7, 6.3)
