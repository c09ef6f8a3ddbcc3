"""A plain ViT-S/16 on ImageNet. NOT RUN: it needs ImageNet, and a day of a TPU.

Beyer, Zhai, Kolesnikov 2022, "Better plain ViT baselines for ImageNet-1k": 76.5 % after 90 epochs, 80.0 % after 300.

  python launch.py --experiment=imagenet_vit_s16 --data_dir=DATA

6 hours on a TPU v3-8. Expected: 76.5 % top-1. DATA holds imagenet2012 as TFDS prepares it, with file_format array_record.
"""

from experiments import imagenet_resnet50
from research.augmentation import normalize
from research.augmentation.mixing import Mixup
from research.config import Duration
from research.experiment import Experiment
from research.models import vit
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, within
from research.preprocessing.randaugment import RandAugment
from research.tasks.classification import Classification
from research.training.settings import Training


def experiment() -> Experiment:
  decayed = ((".*(kernel)", 1.0), (".*", 0.0))
  return Experiment(
      paper=Paper("Better plain ViT baselines for ImageNet-1k", "Beyer, Zhai, Kolesnikov", 2022, "arXiv",
                  "https://arxiv.org/abs/2205.01580"),
      data=imagenet_resnet50.data(1024, (RandAugment(num_layers=2, magnitude=10),), (normalize.signed(), Mixup(alpha=0.2))),
      task=Classification(num_classes=1000, top=(1, 5)),
      model=vit.vit_s(pool="mean", position="sincos2d", class_token=False),
      optimizer=AdamW(learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0, penalty_rules=decayed,
                      schedule=Cosine(warmup=Duration(10_000))),
      training=Training(steps=Duration(90, "ep"), precision="bfloat16"), seeds=(0,),
      targets=(Target(metric="validation/accuracy", criterion=within(0.765, 0.003), signature="top1", published=0.765,
                      place="Table 1", says="76.5 % after 90 epochs", kind="number"),))
