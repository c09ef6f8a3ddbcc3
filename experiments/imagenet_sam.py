"""Sharpness-aware minimization on ImageNet, beside the same without. NOT RUN: it needs ImageNet, and days of a TPU.

Foret, Kleiner, Mobahi, Neyshabur 2021, table 2, ResNet-50, 100 epochs: error 22.9 ± .1 → 22.5 ± .1 %.

  python launch.py --experiment=imagenet_sam --data_dir=DATA

15 hours on a TPU v3-8. Expected: 77.1 % without SAM, 77.5 % with it. DATA holds imagenet2012 as TFDS prepares it, with
file_format array_record. In the paper each device takes its own way uphill; here all take one.
"""

from experiments import cifar10_sam, imagenet_resnet50
from research.augmentation import normalize
from research.config import Duration
from research.experiment import Comparison, Experiment
from research.models import resnet
from research.optimizers.descent import GradientDescent
from research.optimizers.sam import SAM
from research.optimizers.schedule import Cosine
from research.paper import Target, within
from research.tasks.classification import Classification
from research.training.settings import Training


def member(optimizer: GradientDescent | SAM) -> Experiment:
  return Experiment(
      data=imagenet_resnet50.data(4096, (), (normalize.torch(),)),
      task=Classification(num_classes=1000, top=(1, 5), label_smoothing=0.1), model=resnet.resnet50(zero_init=True),
      optimizer=optimizer, training=Training(steps=Duration(100, "ep"), precision="bfloat16"))


def target(name: str, error: float) -> Target:
  return Target(metric=f"{name}/validation/accuracy", criterion=within(1 - error / 100, 0.002), signature="top1",
                published=round(1 - error / 100, 3), place="Table 2", says=f"{error} ± .1 % error", kind="number")


def experiment() -> Comparison:
  sgd = GradientDescent(learning_rate=1.0, momentum=0.9, l2=1e-4, schedule=Cosine(warmup=Duration(5, "ep")))
  return Comparison(
      paper=cifar10_sam.PAPER, members={"sgd": member(sgd), "sam": member(SAM(base=sgd, radius=0.05))},
      targets=(target("sgd", 22.9), target("sam", 22.5)), seeds=(0,))
