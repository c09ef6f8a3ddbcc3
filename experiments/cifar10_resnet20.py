"""ResNet-20 on CIFAR-10. NOT RUN: some 4 hours on a CPU.

He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition", section 4.2: 8.75 % error in table 6.

  python launch.py --experiment=cifar10_resnet20 --data_dir=DATA

Minutes on a GPU, hours on 2 CPU cores. Expected: 91.25 % with the original files. The files named here are re-encoded as
JPEG and lack 2,000 training images, so that the paper's figure cannot be compared.
"""

from research.augmentation.base import OnDevice
from research.augmentation.normalize import Normalize
from research.config import Duration
from research.data.dataset import Data
from research.data.sources import Records
from research.experiment import Experiment
from research.models import resnet
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Piecewise
from research.paper import Paper, Target, within
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import PadCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.tasks.classification import Classification
from research.training.settings import Training

PIXELS = Normalize(mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))  # of CIFAR-10's training images


def data(*on_device: OnDevice) -> Data:
  """CIFAR-10 with the paper's augmentation: 4 pixels of padding, a random crop, a mirror image half of the time."""
  return Data(
      train=Records(path="images/cifar10/train.npz"), evaluation={"test": Records(path="images/cifar10/test.npz")},
      transforms=(DecodeImage(), Rename(pairs=(("label", "labels"),)), PadCrop(padding=4), Flip()),
      on_device=(PIXELS, *on_device), batch_size=128)


def target(accuracy: float, tolerance: float, place: str, says: str, metric: str = "test/accuracy") -> Target:
  return Target(metric=metric, criterion=within(accuracy, tolerance), signature="top1", published=accuracy, place=place,
                says=says, kind="number", not_comparable="JPEG copies of the images, 48,000 of the 50,000 to train on")


def experiment() -> Experiment:
  return Experiment(
      paper=Paper("Deep Residual Learning for Image Recognition", "He, Zhang, Ren, Sun", 2016, "CVPR",
                  "https://arxiv.org/abs/1512.03385"),
      data=data(), task=Classification(num_classes=10), model=resnet.resnet_cifar(20),
      optimizer=GradientDescent(learning_rate=0.1, momentum=0.9, l2=1e-4, schedule=Piecewise(
          boundaries=(Duration(32_000), Duration(48_000)), factors=(0.1, 0.01))),
      training=Training(steps=Duration(64_000)), targets=(target(0.9125, 0.005, "Table 6", "8.75 % error"),))
