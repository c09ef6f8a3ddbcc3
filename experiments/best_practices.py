"""What each good habit is worth: pretraining, regularisation, augmentation, and 8 devices in the place of 1.

He, Zhang, Zhang, Zhang, Xie, Li 2019, "Bag of Tricks for Image Classification": a recipe, and habits taken from it.

  python launch.py --experiment=best_practices --data_dir=DATA

25 minutes on 2 CPU cores. Expected: pretraining is worth 30 points of accuracy, the others little within 12 epochs; 8 simulated
devices give the result of 1. A quarter of MobileNet v1 learns 8 scenes from 1,131 photographs at 64 pixels; from scratch it has
batch normalisation, and the rate that mobilenet_scenes chooses.
"""

from experiments.mobilenet_cifar10 import member
from research.augmentation import normalize
from research.config import override
from research.data.dataset import Data
from research.data.prepared import Prepared
from research.data.sources import Records, Source
from research.experiment import Comparison, Difference
from research.paper import Paper, Target, at_least, within
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import CentreCrop, PadCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.resizing import ResizeShorter

PROCESS = {"devices": 8, "platform": "cpu"}
AUGMENTATION = PadCrop(padding=8, fill="reflect"), Flip()
NO_REGULARISATION = {"task.label_smoothing": 0.0, "optimizer.weight_decay": 0.0}


def square(size: int, split: str, **part) -> Prepared:
  """The middle of each photograph, its shorter side scaled to `size`."""
  return Prepared(source=Records(path=f"images/scenes8/{split}.npz", **part), transforms=(
      DecodeImage(), ResizeShorter(size=size, library="pillow"), CentreCrop(size=size), Rename(pairs=(("label", "labels"),))))


def scenes(*transforms, train: Prepared, **evaluation: Source) -> Data:
  return Data(train=train, evaluation=evaluation, transforms=transforms, on_device=(normalize.quantized(),), batch_size=32)


def experiment() -> Comparison:
  data = {"train": square(64, "train"), "test": square(64, "test")}
  recipe = lambda *transforms, pretrained=True, **changes: override(
      member(scenes(*transforms, **data), 8, 12, 3e-4 if pretrained else 1e-2, pretrained=pretrained),
      {"task.label_smoothing": 0.1, "data.batch_size": 64, "training.sharding.data": 1} | changes)  # XLA fails on 8 times 4
  every = recipe(*AUGMENTATION)
  members = {"all": every, "devices8": override(every, {"training.sharding.data": 8}),
             "no_pretraining": recipe(*AUGMENTATION, pretrained=False), "no_augmentation": recipe(),
             "no_regularisation": override(every, NO_REGULARISATION), "none": recipe(pretrained=False, **NO_REGULARISATION)}
  minus = lambda name, metric="test/accuracy": Difference(of="all", minus=name, metric=metric)
  says = {"no_pretraining": "pretraining is worth 5 points or more", "none": "so are all together"}
  return Comparison(
      paper=Paper("Bag of Tricks for Image Classification with Convolutional Neural Networks",
                  "He, Zhang, Zhang, Zhang, Xie, Li", 2019, "CVPR", "https://arxiv.org/abs/1812.01187"),
      members=members, differences=(*(minus(name) for name in members if name != "all"), minus("devices8", "test/loss")),
      targets=(*(Target(metric=minus(name).name, criterion=at_least(0.05), signature="top1", says=words)
                 for name, words in says.items()),
               Target(metric=minus("devices8", "test/loss").name, criterion=within(0, 1e-3), signature="nats",
                      says="8 devices give the loss of 1")))
