"""Mixup on CIFAR-10 with ResNet-18, beside the same without. NOT RUN: days on a CPU.

Zhang, Cisse, Dauphin, Lopez-Paz 2018, "mixup: Beyond Empirical Risk Minimization", table 2: error 5.6 → 4.2 %.

  python launch.py --experiment=cifar10_mixup --data_dir=DATA

2 hours a seed on one GPU. Expected: mixup lowers the error by a quarter. The network is ResNet-18 v1.5 with a stem for small
images, not the paper's PreAct ResNet-18.
"""

from experiments import cifar10_resnet20
from research.augmentation.base import OnDevice
from research.augmentation.mixing import Mixup
from research.config import Duration
from research.experiment import Comparison, Experiment
from research.models import resnet
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Piecewise
from research.paper import Paper
from research.tasks.classification import Classification
from research.training.settings import Training


def member(*on_device: OnDevice) -> Experiment:
  return Experiment(
      data=cifar10_resnet20.data(*on_device), task=Classification(num_classes=10),
      model=resnet.resnet18(stem="cifar"),
      optimizer=GradientDescent(learning_rate=0.1, momentum=0.9, l2=1e-4, schedule=Piecewise(
          boundaries=(Duration(100, "ep"), Duration(150, "ep")), factors=(0.1, 0.01))),
      training=Training(steps=Duration(200, "ep")))


def experiment() -> Comparison:
  target = cifar10_resnet20.target
  return Comparison(
      paper=Paper("mixup: Beyond Empirical Risk Minimization", "Zhang, Cisse, Dauphin, Lopez-Paz", 2018, "ICLR",
                  "https://arxiv.org/abs/1710.09412"),
      members={"plain": member(), "mixup": member(Mixup(alpha=1.0))},
      targets=(target(0.944, 0.005, "Table 2", "5.6 % error", "plain/test/accuracy"),
               target(0.958, 0.005, "Table 2", "4.2 % error", "mixup/test/accuracy")), seeds=(0,))
