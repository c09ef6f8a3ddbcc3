"""Koh, Liang 2017: the influence of a training example nearly equals retraining without it.

  python launch.py --experiment=influence_functions

Under a minute on two CPU cores. Expected: Pearson correlation .999 over the 60 most influential of 500 examples, in every
seed; far less without the inverse Hessian.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.influence_functions import InfluenceFunctions

PROCESS = {"x64": True}


def experiment() -> InfluenceFunctions:
  return InfluenceFunctions(
      paper=Paper("Understanding Black-box Predictions via Influence Functions", "Koh, Liang", 2017, "ICML",
                  "https://arxiv.org/abs/1703.04730"),
      targets=(
          Target(metric="pearson", criterion=at_least(0.98),
                 says="for L2 logistic regression influence nearly equals leave-one-out retraining"),
          Target(metric="gradient_left", criterion=at_most(1e-10), seeds="all", says="every training has converged"),
          Target(metric="pearson_without_hessian", criterion=at_least(0.98), control=True,
                 says="the product of the two gradients alone does not predict it"),
          Target(metric="pearson_shuffled", criterion=at_least(0.98), control=True,
                 says="predictions against the changes of other examples"),
      ))
