"""A small Vision Transformer on CIFAR-10, from scratch. NOT RUN: days on a CPU.

Dosovitskiy et al. 2021 (the network); the recipe and its figure: kentaroy47/vision-transformers-cifar10, 80 % after 200 epochs.

  python launch.py --experiment=cifar10_vit --data_dir=DATA

2 hours on one GPU. Expected: 80 % with the original files, far below a ResNet: it must learn what a convolution knows.
Images as in cifar10_resnet20, so that the figure cannot be compared.
"""

import dataclasses

from experiments import cifar10_resnet20
from research.augmentation.normalize import Normalize
from research.config import Duration
from research.experiment import Experiment
from research.models import vit
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import PadCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.randaugment import RandAugment
from research.tasks.classification import Classification
from research.training.settings import Training


def experiment() -> Experiment:
  data = dataclasses.replace(
      cifar10_resnet20.data(), batch_size=512, on_device=(Normalize(mean=(125.3, 123.0, 113.9), std=(51.6, 50.8, 51.3)),),
      transforms=(DecodeImage(), Rename(pairs=(("label", "labels"),)), RandAugment(num_layers=2, magnitude=14),
                  PadCrop(padding=4), Flip()))
  return Experiment(
      paper=Paper("An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", "Dosovitskiy et al.", 2021,
                  "ICLR", "https://github.com/kentaroy47/vision-transformers-cifar10"),
      data=data, task=Classification(num_classes=10),
      model=vit.Config(patch=4, dim=512, num_layers=6, num_heads=8, mlp_dim=512, qkv_bias=False, dropout=0.1),
      optimizer=Adam(learning_rate=1e-4, schedule=Cosine()),
      training=Training(steps=Duration(200, "ep"), precision="bfloat16"), seeds=(0,),
      targets=(cifar10_resnet20.target(0.80, 0.02, "README, results", "80 % at patch 4 after 200 epochs"),))
