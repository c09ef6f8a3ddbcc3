"""Grokking modular addition with squares, and the solution in closed form.

Gromov 2023, "Grokking modular arithmetic". Addition modulo 97, one hidden layer of 500 units that square, full-batch AdamW.

  python launch.py --experiment=grokking_quadratic_mlp

About 4 minutes on two CPU cores. Expected: closed-form weights of width 500 right on every pair; trained on 30 % of the table,
99 % training accuracy after 70 steps, 99 % test accuracy after 280; no such delay with 50 %.
"""

from research.paper import Paper, Target, at_least
from research.studies.grokking_quadratic_mlp import GrokkingQuadraticMLP

_PLACE = "repository"


def experiment() -> GrokkingQuadraticMLP:
  return GrokkingQuadraticMLP(
      paper=Paper("Grokking modular arithmetic", "Gromov", 2023, "arXiv", "https://arxiv.org/abs/2301.02679"),
      targets=(
          Target(metric="analytic_500", criterion=at_least(0.9999), place=_PLACE, seeds="all",
                 says="weights in closed form, width 500, solve the task: accuracy over all pairs"),
          Target(metric="test_accuracy_0.3", criterion=at_least(0.99), place=_PLACE,
                 says="trained on 30 % of the table, the network generalises"),
          Target(metric="delay_0.3", criterion=at_least(3), place=_PLACE,
                 says="late: steps to 99 % of the test pairs, over steps to 99 % of the training pairs"),
          Target(metric="participation_rise_0.3", criterion=at_least(1), place=_PLACE,
                 says="the median participation ratio of the first layer's spectra rises: end over start"),
          Target(metric="unrelated_phases_500", criterion=at_least(0.9999), control=True,
                 says="the closed form with an output phase that is not the sum of the operands' phases"),
          Target(metric="delay_0.5", criterion=at_least(3), control=True, says="with half the table there is no delay"),
      ),
      seeds=(0, 1, 2))
