"""Scenes by transfer: a new head on MobileNets with real ImageNet weights, and what those are worth.

Razavian et al. 2014, "CNN Features off-the-shelf": those of ImageNet and a linear classifier are a strong start elsewhere.

    python launch.py --experiment=mobilenet_scenes --data_dir=DATA

8 minutes on 2 CPU cores. Expected: 97 % of 335 test photographs of 8 scenes, with 1,131 to learn from; the same classifier on
the pixels, scaled down, is the control. The paper's own figures are of other networks and scenes. A quarter of MobileNet v1, at
64 pixels, is also trained from scratch, 20 epochs on 931 of them, with 200 to choose its learning rate: 13 points behind.
"""

from experiments import best_practices, mobilenet_cifar10
from research.augmentation import normalize
from research.config import Duration
from research.data.dataset import Data
from research.data.sources import Source
from research.experiment import Comparison, Difference, Experiment
from research.features import Features
from research.models import linear, mobilenet_v1, mobilenet_v2
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.training.settings import Training


def features(model, file: str, source: Source) -> Features:
  return Features(source=source, transforms=(), on_device=(normalize.quantized(),), model=model, num_outputs=1001,
                  pretrained=Pretrained(path=f"weights/{file}/weights.npz", names="tflite"))


def head(train: Source, test: Source, *on_device) -> Experiment:
  return Experiment(
      data=Data(train=train, evaluation={"test": test}, on_device=on_device, batch_size=64), task=Classification(num_classes=8),
      model=linear.Config(), optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01, schedule=Cosine()),
      training=Training(steps=Duration(50, "ep")))


def experiment() -> Comparison:
  square = best_practices.square
  large = lambda split: features(mobilenet_v2.mobilenet_v2(batch_norm=False), "mobilenet_v2_1.0_224", square(224, split))
  small = lambda *part, **of: features(mobilenet_v1.mobilenet_v1(width=0.25, batch_norm=False), "mobilenet_v1_0.25_128",
                                       square(64, *part, **of))
  part = best_practices.scenes(*best_practices.AUGMENTATION, train=square(64, "train", skip=200), test=square(64, "test"),
                               validation=square(64, "train", limit=200))
  target = lambda metric, least, says, **more: Target(
      metric=metric, criterion=at_least(least), signature="top1", says=says, **more)
  return Comparison(
      paper=Paper("CNN Features off-the-shelf: an Astounding Baseline for Recognition",
                  "Razavian, Azizpour, Sullivan, Carlsson", 2014, "CVPR Workshops", "https://arxiv.org/abs/1403.6382"),
      members={"pretrained": head(large("train"), large("test")),
               "pixels": head(square(32, "train"), square(32, "test"), normalize.signed()),
               "small": head(small("train", skip=200), small("test")),
               "scratch": mobilenet_cifar10.selection(part, 8, 20, rates=(3e-3, 1e-2, 3e-2), pretrained=False)},
      differences=(Difference(of="small", minus="scratch", metric="test/accuracy"),),
      targets=(target("pretrained/test/accuracy", 0.94, "features of ImageNet's classes tell scenes apart"),
               target("small - scratch/test/accuracy", 0.03, "they are worth 3 points beside the small network from scratch"),
               target("pixels/test/accuracy", 0.94, "a linear classifier on pixels does not", control=True)))
