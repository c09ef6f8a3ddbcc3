"""Dropout is a penalty: exactly so in linear regression.

Wager, Wang, Liang 2013, "Dropout Training as Adaptive Regularization".

  python launch.py --experiment=dropout_as_penalty

A second on one CPU core. Expected: the average over all 1,024 masks equals the penalised loss to 14 digits, and the mean
over 100,000 passes of the library's own dropout layer to within four of its standard errors.
"""

from research.paper import Paper, Target, at_most
from research.studies.dropout_as_penalty import DropoutAsPenalty

PROCESS = {"x64": True}


def experiment() -> DropoutAsPenalty:
  four_errors = at_most(4.0)
  return DropoutAsPenalty(
      paper=Paper("Dropout Training as Adaptive Regularization", "Wager, Wang, Liang", 2013, "NeurIPS",
                  "https://arxiv.org/abs/1307.1493"),
      targets=(
          Target(metric="identity_gap", criterion=at_most(1e-9), seeds="all", place="abstract",
                 says="dropout is an L2 penalty; linear regression, exactly: p/(1-p)·Σw²x². Average over all masks"),
          Target(metric="layer_standard_errors", criterion=four_errors, seeds="all",
                 says="the mean over our dropout layer against the penalised loss, in standard errors"),
          Target(metric="layer_standard_errors_p_not_odds", criterion=four_errors, seeds="all", control=True,
                 says="the same against the factor p in place of p/(1-p)"),
          Target(metric="layer_standard_errors_no_penalty", criterion=four_errors, seeds="all", control=True,
                 says="the same against the loss without a penalty"),
      ),
      seeds=(0, 1, 2))
