"""Keras' VGG16 on ImageNet's validation set. NOT RUN: it needs ImageNet and Keras' file of weights.

Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition"; keras.io/api/applications:
71.3 % top-1, 90.1 % top-5.

  python launch.py --experiment=imagenet_vgg16_keras --data_dir=DATA

5 hours on 2 CPU cores, minutes on a GPU. DATA holds imagenet2012 as TFDS prepares it (array_record) and
weights/vgg16_weights_tf_dim_ordering_tf_kernels.h5. Stretching to 224 pixels instead of cropping is another protocol: 64 %.
"""

from experiments import imagenet_resnet50
from research.assessment import Assessment
from research.augmentation import normalize
from research.data.dataset import Data
from research.data.tfds import TFDS
from research.models import vgg
from research.paper import Paper, Target, within
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification


def experiment() -> Assessment:
  target = lambda metric, signature, value: Target(
      metric=f"validation/{metric}", criterion=within(value, 0.002), signature=signature, published=value,
      place="keras.io/api/applications", says=f"{value:.1%} {signature}", kind="number")
  return Assessment(
      paper=Paper("Very Deep Convolutional Networks for Large-Scale Image Recognition", "Simonyan, Zisserman", 2015, "ICLR",
                  "https://arxiv.org/abs/1409.1556"),
      data=Data(train=None, evaluation={"validation": TFDS(name="imagenet2012", split="validation")},
                transforms=(*imagenet_resnet50.FEATURES, *imagenet_resnet50.CENTRE), on_device=(normalize.caffe(),),
                batch_size=32, eval_batch_size=32),
      task=Classification(num_classes=1000, top=(1, 5)), model=vgg.vgg16(dropout=0.0),
      pretrained=Pretrained(path="weights/vgg16_weights_tf_dim_ordering_tf_kernels.h5", names="keras"),
      targets=(target("accuracy", "top1", 0.713), target("top5_accuracy", "top5", 0.901)))
