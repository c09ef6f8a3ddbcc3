"""Jackson et al. 2018, Free Spoken Digit Dataset: a convolutional network, and a split by speaker beside.

  python launch.py --experiment=fsdd_cnn --data_dir=DATA

DATA holds speech/fsdd. About 15 minutes on one CPU core for both splits and three seeds. The published split tests on further
recordings of the speakers that were trained on. Expected: 97 % there, and far less of a speaker who was never heard. Features
are not normalised by utterance: the mean spectrum of a word this short says which vowel it has (93 % with it, the first run).
"""

from research.augmentation.audio_features import AsImage, LogMel
from research.augmentation.spec_augment import SpecAugment
from research.config import Duration
from research.data.buckets import Buckets
from research.data.chosen import Chosen
from research.data.dataset import Data
from research.data.sources import Records, Source
from research.experiment import Comparison, Difference, Experiment
from research.models import cnn
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.preprocessing.arrays import Rename, Select
from research.preprocessing.audio import DecodeAudio
from research.tasks.classification import Classification
from research.training.settings import Training

TRAIN, TEST = (Records(path=f"speech/fsdd/{split}.npz") for split in ("train", "test"))


def run(train: Source, test: Source) -> Experiment:
  """The network on a second of sound; what is longer, a recording in a hundred, is cut."""
  features = LogMel(rate=8000, frame_size=256, hop=80, num_mels=40, seconds=1.0)
  return Experiment(
      data=Data(train=train, evaluation={"test": test}, batch_size=32,
                buckets=Buckets(features=("inputs",), lengths=((8000,),)),
                transforms=(DecodeAudio(rate=8000, dtype="int16"), Rename(pairs=(("digit", "labels"),)),
                            Select(names=("inputs", "labels"))),
                on_device=(features, SpecAugment(max_frequency=8, num_time=1, max_time=10), AsImage())),
      task=Classification(num_classes=10),
      model=cnn.Config(channels=(16, 32, 64), kernels=(5, 3, 3), strides=(2, 1, 1), paddings=(2, 1, 1), pools=(1, 2, 2),
                       widths=(128,), batch_norm=True, dropout=0.3),
      optimizer=Adam(learning_rate=1e-3, schedule=Cosine()),
      training=Training(steps=Duration(30, "ep"), evaluate_every=Duration(10, "ep")))


def experiment() -> Comparison:
  of = lambda leave_out: Chosen(source=TRAIN, field="speaker", values=("theo",), leave_out=leave_out)
  difference = Difference(of="published", minus="unheard", metric="test/accuracy")
  return Comparison(
      paper=Paper("Free Spoken Digit Dataset", "Jackson et al.", 2018, "Zenodo", "https://doi.org/10.5281/zenodo.1342401"),
      members={"published": run(TRAIN, TEST), "unheard": run(of(True), of(False))}, differences=(difference,),
      targets=(Target(metric="published/test/accuracy", criterion=at_least(0.97), signature="top1",
                      says="further recordings of the same speakers are recognised"),
               Target(metric=difference.name, criterion=at_least(0.05), signature="top1",
                      says="the published split flatters: a speaker who was never heard is recognised less well")))
