"""MobileNet v2 with real ImageNet weights on sample images of ImageNet.

Sandler, Howard, Zhu, Zhmoginov, Chen 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks": 72.0 % top-1 on the
validation set. The weights are TensorFlow Lite's 8-bit ones as float32, batch normalisation folded in. The 500 images, one of
every second class, seem to come from ImageNet's training set, so that accuracies read higher: the paper's figure cannot be
compared.

  python launch.py --experiment=imagenet_mobilenet_v2_eval --data_dir=DATA

A minute on 2 CPU cores. Expected: 86.8 % top-1 and 97.0 % top-5.
"""

from research.assessment import Assessment
from research.augmentation import normalize
from research.data.dataset import Data
from research.data.sources import Records
from research.models import mobilenet_v2
from research.paper import Paper, Target, between
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import CentreCrop
from research.preprocessing.decoding import DecodeImage
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification


def experiment() -> Assessment:
  signature = "{}|classes are outputs 1 to 1000"  # output 0 is a background
  return Assessment(
      paper=Paper("MobileNetV2: Inverted Residuals and Linear Bottlenecks", "Sandler, Howard, Zhu, Zhmoginov, Chen", 2018,
                  "CVPR", "https://arxiv.org/abs/1801.04381"),
      data=Data(train=None, evaluation={"samples": Records(path="images/imagenet_samples/half_a.npz")},
                transforms=(DecodeImage(), CentreCrop(size=224), Rename(pairs=(("label", "labels"),))),
                on_device=(normalize.quantized(),), batch_size=32, eval_batch_size=32),
      task=Classification(num_classes=1000, top=(1, 5), first_class=1),
      model=mobilenet_v2.mobilenet_v2(batch_norm=False),
      pretrained=Pretrained(path="weights/mobilenet_v2_1.0_224/weights.npz", names="tflite"),
      targets=(
          Target(metric="samples/accuracy", criterion=between(0.86, 0.88), signature=signature.format("top1"),
                 says="the weights recognise 86 to 88 % of the sample images"),
          Target(metric="samples/top5_accuracy", criterion=between(0.96, 0.98), signature=signature.format("top5"),
                 says="and have the class among the first five for 96 to 98 %"),
          Target(metric="samples/accuracy", criterion=between(0.70, 0.74), signature=signature.format("top1"), published=0.72,
                 place="Table 4", says="72.0 % top-1", kind="number",
                 not_comparable="other images, probably of the training set"),
      ))
