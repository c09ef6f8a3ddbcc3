"""What pretraining is worth: MobileNet with ImageNet weights on some of CIFAR-10, beside it from scratch.

Kornblith, Shlens, Le 2019, "Do Better ImageNet Models Transfer Better?": fine-tuned networks beat random ones on CIFAR-10 too.

  python launch.py --experiment=mobilenet_cifar10 --data_dir=DATA

12 minutes on 2 CPU cores. Expected: 65 % against 36 %. A short run: MobileNet v1 of a quarter of the width, 3,000 images to
learn from, 5 epochs, scaled to 64 pixels, tested on 2,000. Each member has its own learning rate, chosen for each seed by 1,000
other training images. From scratch it has batch normalisation; the weights are TensorFlow Lite's, with that folded in.
"""

from research.augmentation import normalize
from research.config import Duration
from research.data.dataset import Data
from research.data.prepared import Prepared
from research.data.sources import Records
from research.experiment import Comparison, Difference, Experiment, Selection
from research.models import mobilenet_v1
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.preprocessing.arrays import Rename
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.resizing import Resize
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.training.settings import Training

WEIGHTS = Pretrained(path="weights/mobilenet_v1_0.25_128/weights.npz", names="tflite", fresh=("head/.*",))


def member(data: Data, num_classes: int, epochs: int, rate: float, *, pretrained: bool) -> Experiment:
  return Experiment(
      data=data, task=Classification(num_classes=num_classes), pretrained=WEIGHTS if pretrained else None,
      model=mobilenet_v1.mobilenet_v1(width=0.25, batch_norm=not pretrained, norm_decay=0.9, dropout=0.0),
      optimizer=AdamW(learning_rate=rate, weight_decay=0.05, schedule=Cosine(warmup=Duration(10, "%")),
                      learning_rate_rules=(("head/.*", 10.0 if pretrained else 1.0), (".*", 1.0))),
      training=Training(steps=Duration(epochs, "ep"), evaluate_every=Duration(0), save_every=Duration(0)))


def selection(data: Data, *shape: int, rates: tuple[float, ...], pretrained: bool) -> Selection:
  members = {f"rate{rate:g}": member(data, *shape, rate, pretrained=pretrained) for rate in rates}
  return Selection(by="validation/accuracy", members=members)


def experiment() -> Comparison:
  larger = DecodeImage(), Resize(size=(64, 64), library="pillow"), Rename(pairs=(("label", "labels"),))
  part = lambda split, **part: Prepared(source=Records(path=f"images/cifar10/{split}.npz", **part), transforms=larger)
  data = Data(train=part("train", limit=3000), transforms=(Flip(),), on_device=(normalize.quantized(),), batch_size=32,
              evaluation={"validation": part("train", skip=3000, limit=1000), "test": part("test", limit=2000)})
  return Comparison(
      paper=Paper("Do Better ImageNet Models Transfer Better?", "Kornblith, Shlens, Le", 2019, "CVPR",
                  "https://arxiv.org/abs/1805.08974"),
      members={"pretrained": selection(data, 10, 5, rates=(1e-4, 3e-4, 1e-3), pretrained=True),
               "scratch": selection(data, 10, 5, rates=(3e-3, 1e-2, 3e-2), pretrained=False)},
      differences=(Difference(of="pretrained", minus="scratch", metric="test/accuracy"),),
      targets=(Target(metric="pretrained - scratch/test/accuracy", criterion=at_least(0.05), signature="top1",
                      says="pretraining is worth 5 points or more, with few examples"),))
