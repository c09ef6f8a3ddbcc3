"""Zhang et al. 2021, speechocean762: a small Conformer from scratch on three hours of accented English.

  python launch.py --experiment=speechocean_ctc --data_dir=DATA

DATA holds speech/speechocean762: 125 speakers, half of them children, to train on, 40 others to test on. 65 minutes on one CPU
core. The paper recognises nothing: it scores pronunciation. Expected, fixed before the first run: fewer character errors, by 20
points at least, than texts that hear nothing; the recorded run makes 38 %, 47 points fewer. Batches of 6, 4 or 2 utterances:
CTC hears nothing in its first thousand steps, however much each has seen. The first recipe, with batches four times as large,
ended before it heard more than long and short.
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
from research.metrics.speech import BelowUnigram, ErrorRate
from research.models import conformer
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.audio_augmentations import SpeedPerturbation
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing
from research.training.settings import Training


def experiment() -> Experiment:
  train, test = (Records(path=f"speech/speechocean762/{split}.npz") for split in ("train", "test"))
  spoken = lambda source: transcribed(source, Characters(specials=("<pad>",)), train)
  search, unigram = BestPath(), BelowUnigram()
  against = tuple(Against(metric=metric, reference="text") for metric in (ErrorRate(unit="character"), ErrorRate(), unigram))
  return Experiment(
      paper=Paper("speechocean762", "Zhang et al.", 2021, "Interspeech", "https://arxiv.org/abs/2104.01378"),
      data=Data(train=spoken(train), evaluation={"test": spoken(test)}, batch_size=2, eval_batch_size=16,
                transforms=(DecodeAudio(), SpeedPerturbation(), Select(names=("inputs", "targets"))),
                on_device=(LogMel(), NormalizeUtterance(), SpecAugment(max_frequency=15, max_time=20, max_share=0.1)),
                buckets=Buckets(features=("inputs", "targets"), longer="drop",
                                lengths=((54_000, 70), (90_000, 70), (200_000, 70)))),
      task=Transcription(vocab_size=29, writing=Writing(decoding=search, against=against)),
      model=conformer.Config(dim=128, num_layers=4, channels=32), seeds=(0,),
      optimizer=Adam(learning_rate=1e-3, b2=0.98, clip_norm=5.0, schedule=Cosine(warmup=Duration(5, "%"))),
      training=Training(steps=Duration(40, "ep"), evaluate_every=Duration(4, "ep"), save_every=Duration(1, "ep")),
      targets=(Target(metric="test/cer_below_unigram", criterion=at_least(20),
                      signature=f"{unigram.metrics['cer_below_unigram'].signature}|{search.signature}",
                      says="speakers who were never heard are understood better than by texts that hear nothing, in points"),))
