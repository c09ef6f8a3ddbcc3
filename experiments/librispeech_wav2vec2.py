"""wav2vec 2.0 base, fine-tuned by CTC on all of LibriSpeech. NOT RUN: it needs LibriSpeech and the pretrained weights.

Baevski, Zhou, Mohamed, Auli 2020, "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations": 3.4 % word
errors on test-clean and 8.5 % on test-other, without a language model.

  python launch.py --experiment=librispeech_wav2vec2 --data_dir=DATA

DATA holds LibriSpeech/train-clean-100, train-clean-360, train-other-500, test-clean and test-other as their archives unpack,
and weights/wav2vec2-base, the folder as Hugging Face has it. About 100 hours on a node of 8 GPU cards. Other than there no
layers are left out in training, and all but the convolutions learns from the first step on, not only the outputs for 10,000.
"""

from research.augmentation.feature_normalization import NormalizeSamples
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import LibriSpeech, transcribed
from research.decoding.ctc_search import BestPath
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import wav2vec2
from research.optimizers.adam import Adam
from research.optimizers.schedule import TriStage
from research.paper import Paper, Target, within
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.training import Characters
from research.pretrained.weights import Pretrained
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training

TRAIN = LibriSpeech(parts=tuple(f"LibriSpeech/train-{part}" for part in ("clean-100", "clean-360", "other-500")))


def experiment() -> Experiment:
  labelled = lambda source: transcribed(source, Characters(specials=("<pad>",)), TRAIN)
  writing = Writing(decoding=BestPath(), against=(Against(metric=ErrorRate(), reference="text"),))
  target = lambda split, rate: Target(
      metric=f"{split}/wer", criterion=within(rate, 0.2), signature="WER|normalizer:none|ctc best path", published=rate,
      place="table 10, base, 960 h, no language model", kind="number", says=f"{rate} % word errors on test-{split}")
  return Experiment(
      paper=Paper("wav2vec 2.0: a framework for self-supervised learning of speech representations",
                  "Baevski, Zhou, Mohamed, Auli", 2020, "NeurIPS", "https://arxiv.org/abs/2006.11477"),
      data=Data(train=labelled(TRAIN), evaluation={
          split: labelled(LibriSpeech(parts=(f"LibriSpeech/test-{split}",))) for split in ("clean", "other")},
                transforms=(DecodeAudio(dtype="int16"), Select(names=("inputs", "targets"))), on_device=(NormalizeSamples(),),
                batch_size=48, eval_batch_size=16, buckets=Buckets(
                    features=("inputs", "targets"), lengths=((140_000, 400), (280_000, 400), (560_000, 640)), longer="drop")),
      task=Transcription(vocab_size=29, frame_rate=16_000.0, writing=writing),
      model=wav2vec2.base(mlp_dropout=0.1, time_mask=0.5, channel_mask=0.1),
      pretrained=Pretrained(path="weights/wav2vec2-base", names="hf", fresh=("output/.*",)),
      optimizer=Adam(learning_rate=1e-4, b2=0.98, learning_rate_rules=(("convolutions/.*", 0.0), (".*", 1.0)),
                     schedule=TriStage(warmup=Duration(10, "%"), hold=Duration(40, "%"))),
      training=Training(steps=Duration(320_000), precision="bfloat16"), seeds=(0,),
      targets=(target("clean", 3.4), target("other", 8.5)))
