"""Quickstart: a published result on generated data (MNIST-1D, the MLP's row) and real digit scans, both without a download.

    python launch.py --experiment=quickstart

Under 2 minutes on 2 CPU cores. Expected test accuracy: .65 on MNIST-1D (published .651), .98 on the digits.
"""

from experiments import mnist1d_benchmark
from research.config import Duration
from research.data.dataset import Data
from research.data.digits import Digits
from research.experiment import Comparison, Experiment
from research.models import cnn
from research.optimizers.adam import Adam
from research.paper import Target, at_least
from research.preprocessing.arrays import Reshape, Scale
from research.tasks.classification import Classification
from research.training.settings import Training
from research.training.sharding import Sharding


def digits() -> Experiment:
  return Experiment(
      data=Data(train=Digits(split="train"), evaluation={"test": Digits(split="test")},
                transforms=(Scale(factor=1 / 16), Reshape(shape=(8, 8, 1))), batch_size=64),
      task=Classification(num_classes=10, top=(1, 2)),
      model=cnn.Config(channels=(32, 64), kernels=(3, 3), strides=(1, 2), paddings=(1, 1), widths=(128,), dropout=0.2),
      optimizer=Adam(learning_rate=1e-3),
      training=Training(steps=Duration(30, "ep"), sharding=Sharding(data=1)))


def experiment() -> Comparison:
  return Comparison(
      paper=mnist1d_benchmark.PAPER,
      members={"mnist1d": mnist1d_benchmark.member(mnist1d_benchmark.MODELS["mlp"]), "digits": digits()},
      targets=(mnist1d_benchmark.target("mnist1d", .65, .025, .651, .68),
               Target(metric="digits/test/accuracy", criterion=at_least(.97), signature="top1",
                      says="our own criterion: a small network reads real scans")))
