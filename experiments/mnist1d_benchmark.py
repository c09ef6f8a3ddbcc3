"""MNIST-1D: four architectures on signals as they are and with their positions shuffled (Greydanus, Kobak 2024).

A convolution wins as long as neighbouring positions belong together, and loses its lead when they are shuffled; a linear
model and an MLP do not notice. The data are the authors' own, generated: equal to their file at 2.4e-7.

    python launch.py --experiment=mnist1d_benchmark

24 runs (8 members, 3 seeds); about 6 minutes on 2 CPU cores. Expected test accuracy: linear .315, MLP .65, CNN .94, GRU .90;
shuffled .315, .63, .59, .54.
"""

from research.config import Duration
from research.data.dataset import Data
from research.data.mnist1d import MNIST1D
from research.experiment import Comparison, Experiment
from research.models import cnn, gru, linear, mlp
from research.optimizers.adam import Adam
from research.paper import Paper, Target, within
from research.preprocessing.arrays import Cast
from research.tasks.classification import Classification
from research.training.settings import Training
from research.training.sharding import Sharding

PAPER = Paper(title="Scaling down deep learning with MNIST-1D", authors="Greydanus, Kobak", year=2024, venue="ICML",
              url="https://arxiv.org/abs/2011.14439")
MODELS = {
    "linear": linear.Config(init="torch_uniform"),
    "mlp": mlp.Config(widths=(100, 100), residual=True, init="torch_uniform"),
    "cnn": cnn.Config(channels=(25, 25, 25), kernels=(5, 3, 3), strides=(2, 2, 2), paddings=(1, 1, 1), init="torch_uniform"),
    "gru": gru.Config(width=6, bidirectional=True, init="torch_uniform"),
}


def member(model, shuffled: bool = False) -> Experiment:
  source = lambda split: MNIST1D(split=split, shuffled=shuffled)
  return Experiment(
      data=Data(train=source("train"), evaluation={"test": source("test")}, transforms=(Cast(),), batch_size=100,
                shuffle=False),
      task=Classification(num_classes=10),
      model=model,
      optimizer=Adam(learning_rate=1e-2),
      training=Training(steps=Duration(6000), steps_per_call=20, sharding=Sharding(data=1)))  # too small to share


def target(name: str, value: float, tolerance: float, published: float, readme: float) -> Target:
  return Target(metric=f"{name}/test/accuracy", criterion=within(value, tolerance), says=f"{name}: README table {readme:g}",
                place="the repository's notebook, 6,000 steps, one seed", published=published, kind="number", signature="top1")


def experiment() -> Comparison:
  return Comparison(
      paper=PAPER,
      members={**{name: member(model) for name, model in MODELS.items()},
               **{f"{name}_shuffled": member(model, shuffled=True) for name, model in MODELS.items()}},
      targets=(target("linear", .315, .01, .315, .32), target("mlp", .65, .025, .651, .68),
               target("cnn", .935, .02, .923, .94), target("gru", .895, .02, .891, .91),
               target("cnn_shuffled", .585, .03, .587, .56)))
