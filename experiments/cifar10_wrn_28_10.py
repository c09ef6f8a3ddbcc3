"""The wide residual network WRN-28-10 on CIFAR-10. NOT RUN: weeks on a CPU.

Zagoruyko, Komodakis 2016, "Wide Residual Networks", table 5: 4.00 % error.

  python launch.py --experiment=cifar10_wrn_28_10 --data_dir=DATA

6 hours a seed on one GPU. Expected: 96.0 % with the original files. Images as in cifar10_resnet20, so that the paper's figure
cannot be compared.
"""

import dataclasses

from experiments import cifar10_resnet20
from research.config import Duration
from research.data.dataset import Data
from research.experiment import Experiment
from research.models import wide_resnet
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Piecewise
from research.paper import Paper
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import PadCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.tasks.classification import Classification
from research.training.settings import Training


def data() -> Data:
  """The paper's augmentation: reflected pixels around the image, where cifar10_resnet20 has zeros."""
  return dataclasses.replace(cifar10_resnet20.data(), transforms=(
      DecodeImage(), Rename(pairs=(("label", "labels"),)), PadCrop(padding=4, fill="reflect"), Flip()))


def experiment() -> Experiment:
  return Experiment(
      paper=Paper("Wide Residual Networks", "Zagoruyko, Komodakis", 2016, "BMVC", "https://arxiv.org/abs/1605.07146"),
      data=data(), task=Classification(num_classes=10), model=wide_resnet.Config(depth=28, width=10),
      optimizer=GradientDescent(learning_rate=0.1, momentum=0.9, nesterov=True, l2=5e-4, schedule=Piecewise(
          boundaries=(Duration(60, "ep"), Duration(120, "ep"), Duration(160, "ep")), factors=(0.2, 0.04, 0.008))),
      training=Training(steps=Duration(200, "ep"), precision="bfloat16"), seeds=(0,),
      targets=(cifar10_resnet20.target(0.96, 0.003, "Table 5", "4.00 % error"),))
