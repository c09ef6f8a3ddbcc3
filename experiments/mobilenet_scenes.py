"""Scenes by transfer: a new head on MobileNet v2 with real ImageNet weights.

Razavian et al. 2014, "CNN Features off-the-shelf": those of ImageNet and a linear classifier are a strong start elsewhere.

    python launch.py --experiment=mobilenet_scenes --data_dir=DATA

2 minutes on 2 CPU cores. Expected: 97 % of 335 test photographs of 8 scenes, with 1,131 to learn from; the same classifier
on the pixels, scaled down, is the control. The paper's own figures are of other networks and scenes.
"""

from research.augmentation import normalize
from research.config import Duration
from research.data.dataset import Data
from research.data.sources import Records
from research.experiment import Comparison, Experiment
from research.features import Features
from research.models import linear, mobilenet_v2
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import CentreCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.resizing import ResizeShorter
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.training.settings import Training

SPLITS = {split: Records(path=f"images/scenes8/{split}.npz") for split in ("train", "test")}


def square(size: int):
  """The middle of each photograph, its shorter side scaled to `size`."""
  shorter = ResizeShorter(size=size, library="pillow")
  return DecodeImage(), shorter, CentreCrop(size=size), Rename(pairs=(("label", "labels"),))


def features(split: str) -> Features:
  return Features(source=SPLITS[split], transforms=square(224), on_device=(normalize.quantized(),),
                  model=mobilenet_v2.mobilenet_v2(batch_norm=False), num_outputs=1001,
                  pretrained=Pretrained(path="weights/mobilenet_v2_1.0_224/weights.npz", names="tflite"))


def head(data: Data) -> Experiment:
  return Experiment(data=data, task=Classification(num_classes=8), model=linear.Config(), training=Training(
      steps=Duration(50, "ep")), optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01, schedule=Cosine()))


def experiment() -> Comparison:
  pixels = {"transforms": square(32), "on_device": (normalize.signed(),)}
  data = lambda of, **how: Data(train=of("train"), evaluation={"test": of("test")}, batch_size=64, **how)
  return Comparison(
      paper=Paper("CNN Features off-the-shelf: an Astounding Baseline for Recognition",
                  "Razavian, Azizpour, Sullivan, Carlsson", 2014, "CVPR Workshops", "https://arxiv.org/abs/1403.6382"),
      members={"pretrained": head(data(features)), "pixels": head(data(SPLITS.get, **pixels))},
      targets=(Target(metric="pretrained/test/accuracy", criterion=at_least(0.94), signature="top1",
                      says="features of ImageNet's classes tell scenes apart"),
               Target(metric="pixels/test/accuracy", criterion=at_least(0.94), signature="top1", control=True,
                      says="a linear classifier on pixels does not")))
