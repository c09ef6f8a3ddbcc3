"""Sharpness-aware minimization on CIFAR-10 with WRN-28-10, beside the same without. NOT RUN: months on a CPU.

Foret, Kleiner, Mobahi, Neyshabur 2021, table 1, WRN-28-10, 200 epochs, basic augmentation: error 3.5 → 2.7 %.

  python launch.py --experiment=cifar10_sam --data_dir=DATA

16 hours a seed on one GPU. Expected: SAM lowers the error by a fifth. Images as in cifar10_resnet20, so that the figures cannot
be compared. The step's rate, decay and clipping are those of google-research/sam.
"""

import dataclasses

from experiments import cifar10_resnet20
from research.config import Duration
from research.experiment import Comparison, Experiment
from research.models import wide_resnet
from research.optimizers.descent import GradientDescent
from research.optimizers.sam import SAM
from research.optimizers.schedule import Cosine
from research.paper import Paper
from research.tasks.classification import Classification
from research.training.settings import Training

PAPER = Paper("Sharpness-Aware Minimization for Efficiently Improving Generalization", "Foret, Kleiner, Mobahi, Neyshabur",
              2021, "ICLR", "https://arxiv.org/abs/2010.01412")


def member(optimizer: GradientDescent | SAM) -> Experiment:
  return Experiment(
      data=dataclasses.replace(cifar10_resnet20.data(), batch_size=256), task=Classification(num_classes=10),
      model=wide_resnet.Config(depth=28, width=10), optimizer=optimizer,
      training=Training(steps=Duration(200, "ep"), precision="bfloat16"))


def experiment() -> Comparison:
  sgd = GradientDescent(learning_rate=0.1, momentum=0.9, nesterov=True, l2=5e-4, clip_norm=5.0, schedule=Cosine())
  target = cifar10_resnet20.target
  return Comparison(
      paper=PAPER, members={"sgd": member(sgd), "sam": member(SAM(base=sgd, radius=0.05))}, seeds=(0,),
      targets=(target(0.965, 0.003, "Table 1", "3.5 % error", "sgd/test/accuracy"),
               target(0.973, 0.003, "Table 1", "2.7 % error", "sam/test/accuracy")))
