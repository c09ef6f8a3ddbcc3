"""Every family of image networks learns: twins of what their experiments do, on generated images, at a size for seconds."""

import dataclasses

import pytest
from etils import epath
from twins import Patterns

from research.augmentation import normalize
from research.augmentation.views import ShiftedMirrors
from research.config import Duration
from research.data.dataset import Data
from research.experiment import Experiment
from research.models import airbench, convnext, mixer, mobilenet_v1, mobilenet_v2, resnet, vgg, vit, wide_resnet
from research.optimizers.adam import Adam
from research.optimizers.descent import GradientDescent
from research.optimizers.lookahead import Lookahead
from research.optimizers.sam import SAM
from research.optimizers.schedule import Cosine, Triangle
from research.preprocessing.arrays import Rename
from research.preprocessing.crops import PadCrop
from research.preprocessing.decoding import DecodeImage
from research.tasks.classification import Classification
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.sharding import Sharding
from research.workdir import Run

NUM_CLASSES, CHANCE = 4, 0.25
ADAM = Adam(learning_rate=3e-3, clip_norm=1.0, schedule=Cosine(warmup=Duration(10, "%")))
SGD = GradientDescent(learning_rate=0.1, momentum=0.9, nesterov=True, l2=5e-4, schedule=Cosine())
MOBILE = {"width": 0.25, "norm_decay": 0.8, "dropout": 0.0}
AIRBENCH = Lookahead(start=Duration(3, "ep"), base=GradientDescent(
    learning_rate=0.1, momentum=0.85, nesterov=True, l2=0.0153 / 11.5,
    schedule=Triangle(warmup=Duration(23, "%"), initial=0.2, final=0.07),
    learning_rate_rules=(("whitening/kernel", 0.0), (".*_norm/bias", 64.0), (".*", 1.0)),
    penalty_rules=((".*_norm/bias", 1 / 64), (".*", 1.0)), frozen_after=(("whitening/bias", Duration(3, "ep")),)))
SMALL_VIT = vit.Config(patch=8, dim=32, num_layers=2, num_heads=2, mlp_dim=64, scan=False, **vit.PLAIN)

# The network, its optimizer, the steps.
FAMILIES = {
    "vit": (SMALL_VIT, ADAM, 60),
    "airbench": (airbench.Config(widths=(16, 32, 32), num_examples=200), AIRBENCH, 60),
    "vgg": (vgg.vgg16(depths=(1, 1, 1), channels=(8, 16, 32), widths=(32,), dropout=0.0), ADAM, 80),
    "resnet": (resnet.resnet_cifar(8, norm_decay=0.8), SGD, 80),
    "resnet_sam": (resnet.resnet_cifar(8, norm_decay=0.8), SAM(base=SGD), 80),
    "wide_resnet": (wide_resnet.Config(depth=10, width=1, norm_decay=0.8), SGD, 80),
    "mobilenet_v1": (mobilenet_v1.mobilenet_v1(**MOBILE), ADAM, 120),
    "mobilenet_v2": (mobilenet_v2.mobilenet_v2(**MOBILE), ADAM, 120),
    "mixer": (mixer.Config(patch=8, dim=32, num_layers=2, token_dim=16, channel_dim=64, scan=False), ADAM, 80),
    "convnext": (convnext.Config(depths=(1, 1), dims=(16, 32), layer_scale=0.1), ADAM, 80),
}
QUICK = ("vit",)


def learned(family: str, folder) -> float:
  """The test accuracy after so many steps on 256 images."""
  model, optimizer, steps = FAMILIES[family]
  source = Patterns(num=256, num_classes=NUM_CLASSES, shape=(32, 32, 3), image="record", label="label")
  views = (ShiftedMirrors(),) if family == "airbench" else ()
  experiment = Experiment(
      data=Data(train=source, evaluation={"test": dataclasses.replace(source, num=128, seed=1)}, batch_size=32,
                transforms=(DecodeImage(), Rename(pairs=(("label", "labels"),)), PadCrop(padding=2, fill="reflect")),
                on_device=(normalize.signed(), *views), eval_batch_size=128),
      task=Classification(num_classes=NUM_CLASSES, label_smoothing=0.1, view_mean="logit" if views else None),
      model=model, optimizer=optimizer,
      training=Training(steps=Duration(steps), evaluate_every=Duration(0), save_every=Duration(0), sharding=Sharding(data=1)))
  with Interruption() as interruption:
    return experiment.measure(0, Run(epath.Path(folder), None, interruption)).metrics["test/accuracy"]


@pytest.mark.parametrize("family", [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.heavy) for name in FAMILIES])
def test_the_family_learns(family, tmp_path):
  assert learned(family, tmp_path) > 0.8 > 3 * CHANCE
