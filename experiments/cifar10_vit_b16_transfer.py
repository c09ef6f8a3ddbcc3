"""ViT-B/16, pretrained on ImageNet-21k, fine-tuned on CIFAR-10. NOT RUN: it needs the weights, and hours of eight GPUs.

Dosovitskiy et al. 2021, table 5 (98.95 %); google-research/vision_transformer, README: 98.92 and 99.03 % in two runs.

  python launch.py --experiment=cifar10_vit_b16_transfer --data_dir=DATA

7 hours on eight V100 (GPU). Expected: 98.9 % with the original files. Images as in cifar10_resnet20: the figure cannot
be compared. DATA holds weights/ViT-B_16.npz, that of gs://vit_models/imagenet21k; its positions are resampled to 384 pixels.
"""

import dataclasses

from experiments import cifar10_resnet20
from research.augmentation import normalize
from research.config import Duration
from research.experiment import Experiment
from research.models import vit
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Cosine
from research.paper import Paper
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import RandomResizedCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.phases import PerPhase
from research.preprocessing.resizing import Resize
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.training.settings import Training


def experiment() -> Experiment:
  crop = PerPhase(training=(RandomResizedCrop(size=384, area=(0.05, 1.0), library="tensorflow"), Flip()),
                  evaluation=(Resize(size=(384, 384), library="tensorflow"),))
  return Experiment(
      paper=Paper("An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", "Dosovitskiy et al.", 2021,
                  "ICLR", "https://arxiv.org/abs/2010.11929"),
      data=dataclasses.replace(cifar10_resnet20.data(), on_device=(normalize.signed(),), batch_size=512, num_threads=16,
                               transforms=(DecodeImage(), Rename(pairs=(("label", "labels"),)), crop)),
      task=Classification(num_classes=10), model=vit.vit_b(activation="gelu_tanh"), optimizer=GradientDescent(
          learning_rate=0.03, momentum=0.9, clip_norm=1.0, schedule=Cosine(warmup=Duration(500))),
      pretrained=Pretrained(path="weights/ViT-B_16.npz", names="augreg", fresh=("head/.*",), unused=("pre_logits/.*",)),
      training=Training(steps=Duration(10_000), precision="bfloat16", num_microbatches=16), seeds=(0,),
      targets=(cifar10_resnet20.target(0.9892, 0.002, "README, expected results", "98.92 and 99.03 %"),))
