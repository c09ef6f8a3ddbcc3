"""MobileNet v1 of a quarter of the width, with real ImageNet weights, on sample images of ImageNet.

Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications"; TensorFlow's list of
models: 39.5 % top-1 and 64.4 % top-5 on the validation set for 8-bit weights at 128 pixels. Images as in
imagenet_mobilenet_v2_eval, so that the published figures cannot be compared.

  python launch.py --experiment=imagenet_mobilenet_v1_025 --data_dir=DATA

Seconds on 2 CPU cores. Expected: 43.8 % top-1 and 71.6 % top-5.
"""

import dataclasses

from experiments import imagenet_mobilenet_v2_eval
from research.assessment import Assessment
from research.models import mobilenet_v1
from research.paper import Paper, Target, between
from research.preprocessing.resizing import Resize
from research.pretrained.weights import Pretrained


def experiment() -> Assessment:
  base = imagenet_mobilenet_v2_eval.experiment()
  decode, crop, rename = base.data.transforms
  resize = Resize(size=(128, 128), library="pillow")
  signature = "{}|classes are outputs 1 to 1000"
  return dataclasses.replace(
      base,
      paper=Paper("MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
                  "Howard, Zhu, Chen, Kalenichenko", 2017, "arXiv", "https://arxiv.org/abs/1704.04861"),
      data=dataclasses.replace(base.data, transforms=(decode, crop, resize, rename)),
      model=mobilenet_v1.mobilenet_v1(width=0.25, batch_norm=False),
      pretrained=Pretrained(path="weights/mobilenet_v1_0.25_128/weights.npz", names="tflite"),
      targets=(
          Target(metric="samples/accuracy", criterion=between(0.428, 0.448), signature=signature.format("top1"),
                 says="the weights recognise 42.8 to 44.8 % of the sample images"),
          Target(metric="samples/top5_accuracy", criterion=between(0.706, 0.726), signature=signature.format("top5"),
                 says="and have the class among the first five for 70.6 to 72.6 %"),
          Target(metric="samples/accuracy", criterion=between(0.385, 0.405), signature=signature.format("top1"), kind="number",
                 published=0.395, place="TensorFlow's hosted models", says="39.5 % on the validation set",
                 not_comparable="other images, probably of the training set")))
