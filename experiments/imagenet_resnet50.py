"""ResNet-50 on ImageNet. NOT RUN: it needs ImageNet, and days of one GPU.

He, Zhang, Ren, Sun 2016; Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour": the recipe, error
23.60 ± .12 %; Flax's examples/imagenet: 76.4 % (4.4 hours on a TPU v3-8).

  python launch.py --experiment=imagenet_resnet50 --data_dir=DATA

4 hours on a TPU v3-8. Expected: 76.4 % top-1. DATA holds imagenet2012 as TFDS prepares it, with file_format array_record.
"""

from research.augmentation import normalize
from research.augmentation.base import OnDevice
from research.config import Duration
from research.data.dataset import Data
from research.data.tfds import TFDS
from research.experiment import Experiment
from research.models import resnet
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, within
from research.preprocessing.arrays import Rename, Select
from research.preprocessing.crops import CentreCrop, RandomResizedCrop
from research.preprocessing.geometry import Flip
from research.preprocessing.phases import PerPhase
from research.preprocessing.resizing import ResizeShorter
from research.preprocessing.transform import Transform
from research.tasks.classification import Classification
from research.training.settings import Training

FEATURES = (Select(names=("image", "label")), Rename(pairs=(("image", "inputs"), ("label", "labels"))))
CENTRE = (ResizeShorter(size=256, library="pillow"), CentreCrop(size=224))


def data(batch_size: int, augment: tuple[Transform, ...], on_device: tuple[OnDevice, ...]) -> Data:
  """ImageNet: random parts of 224 pixels and mirror images; evaluated on the centre of the shorter side at 256."""
  crop = PerPhase(training=(RandomResizedCrop(size=224, library="opencv"), Flip(), *augment), evaluation=CENTRE)
  return Data(
      train=TFDS(name="imagenet2012", split="train"), evaluation={"validation": TFDS(name="imagenet2012", split="validation")},
      transforms=(*FEATURES, crop), on_device=on_device, batch_size=batch_size, num_threads=16)


def experiment() -> Experiment:
  decayed = ((".*(kernel)", 1.0), (".*", 0.0))
  return Experiment(
      paper=Paper("Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", "Goyal, Dollar, Girshick, Noordhuis", 2017,
                  "arXiv", "https://arxiv.org/abs/1706.02677"),
      data=data(1024, (), (normalize.torch(),)), task=Classification(num_classes=1000, top=(1, 5), label_smoothing=0.1),
      model=resnet.resnet50(zero_init=True),
      optimizer=GradientDescent(learning_rate=0.4, momentum=0.9, nesterov=True, l2=1e-4, penalty_rules=decayed,
                                schedule=Cosine(warmup=Duration(5, "ep"))),
      training=Training(steps=Duration(90, "ep"), precision="bfloat16"), seeds=(0,),
      targets=(Target(metric="validation/accuracy", criterion=within(0.764, 0.003), signature="top1", published=0.764,
                      place="Table 1, row (d); Flax's README", says="76.4 % top-1", kind="number"),))
