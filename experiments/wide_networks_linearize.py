"""A wide network and its first-order Taylor expansion learn the same function.

Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington 2019, "Wide Neural Networks of Any Depth Evolve as
Linear Models Under Gradient Descent". Generated data; tanh networks of two hidden layers.

  python launch.py --experiment=wide_networks_linearize

About a minute for three seeds on two CPU cores. Expected: the two differ by about 0.1 at width 64 and less than 0.01 at
2,048; a log-log slope near -1, between the proved -1/2 and faster.
"""

from research.paper import Paper, Target, at_least, at_most, between, within
from research.studies.wide_networks_linearize import WideNetworksLinearize


def experiment() -> WideNetworksLinearize:
  return WideNetworksLinearize(
      paper=Paper("Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent",
                  "Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington", 2019, "NeurIPS",
                  "https://arxiv.org/abs/1902.06720"),
      targets=(
          Target(metric="slope", criterion=between(-1.3, -0.7),
                 says="the difference falls with width, proved as width^-1/2, seen nearer 1/width: log-log slope"),
          Target(metric="rmse_2048", criterion=at_most(0.01), place="abstract",
                 says="in the infinite width limit networks are governed by their first-order Taylor expansion"),
          Target(metric="least_moved", criterion=at_least(0.1),
                 says="both models really learn: change of the test outputs in training, at least, over widths"),
          Target(metric="slope", criterion=within(0, 0.3), control=True,
                 says="a difference that does not depend on width"),
      ),
      widths=(64, 128, 256, 512, 1_024, 2_048), seeds=(0, 1, 2))
