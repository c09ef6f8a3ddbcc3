"""The classic transfer: VGG16 without its top, a dense layer and a new head. NOT RUN: it needs Keras' file of weights.

Simonyan, Zisserman 2015; Chollet 2016, "Building powerful image classification models using very little data" (Keras' blog).

  python launch.py --experiment=vgg16_transfer --data_dir=DATA

4 hours on 2 CPU cores, minutes on a GPU. Expected: on CIFAR-10 full fine-tuning beats the frozen base, no figure was published.
DATA holds images/cifar10, images/scenes8 and weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5.
"""

from research.augmentation import normalize
from research.config import Duration
from research.data.dataset import Data
from research.data.sources import Records
from research.experiment import Comparison, Experiment
from research.models import vgg
from research.optimizers.adam import Adam
from research.paper import Paper, Target, at_least
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import CentreCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip, RandomAffine
from research.preprocessing.resizing import ResizeShorter
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.training.settings import Training

_RULES = {"frozen": (("block.*", 0.0), (".*", 1.0)), "full": ((".*", 1.0),)}
_RATES = {"frozen": 1e-3, "full": 1e-5}


def member(dataset: str, num_classes: int, size: int, base: str) -> Experiment:
  """100 steps an epoch for 10 epochs; validation on the first 50 batches."""
  source = lambda split, **part: Records(path=f"images/{dataset}/{split}.npz", **part)
  augment = (RandomAffine(rotation=15, height_shift=0.1, width_shift=0.1, zoom=(0.9, 1.1)), Flip())
  return Experiment(
      data=Data(train=source("train"), evaluation={"test": source("test", limit=50 * 32)}, batch_size=32, transforms=(
          DecodeImage(), ResizeShorter(size=size, library="pillow"), CentreCrop(size=size),
          Rename(pairs=(("label", "labels"),)), *augment), on_device=(normalize.caffe(),)),
      task=Classification(num_classes=num_classes), model=vgg.vgg16(widths=(1024,), dropout=0.0),
      pretrained=Pretrained(path="weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", names="keras",
                            fresh=("fc1/.*", "head/.*")),
      optimizer=Adam(learning_rate=_RATES[base], learning_rate_rules=_RULES[base]), training=Training(steps=Duration(1000)))


def experiment() -> Comparison:
  sets = {"cifar10": (10, 32), "scenes8": (8, 96)}
  return Comparison(
      paper=Paper("Very Deep Convolutional Networks for Large-Scale Image Recognition", "Simonyan, Zisserman", 2015, "ICLR",
                  "https://arxiv.org/abs/1409.1556"),
      members={f"{name}_{base}": member(name, *shape, base) for name, shape in sets.items() for base in _RULES},
      targets=(Target(metric="cifar10_full/test/accuracy", criterion=at_least(0.8), signature="top1", says="all is trained"),),
      seeds=(0,))
