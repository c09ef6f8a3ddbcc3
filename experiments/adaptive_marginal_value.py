"""Adaptive methods can fit and not generalise where gradient descent does both.

Wilson, Roelofs, Stern, Srebro, Recht 2017, "The Marginal Value of Adaptive Gradient Methods in Machine Learning".

  python launch.py --experiment=adaptive_marginal_value

Seconds a seed on one CPU core. Expected: gradient descent 1.000 on unseen labels, Adam the share p of the
majority (0.55 and 0.75), both with a training error of nearly zero.
"""

from research.paper import Paper, Target, at_most, exactly, within
from research.studies.adaptive_marginal_value import AdaptiveMarginalValue


def experiment() -> AdaptiveMarginalValue:
  targets = []
  for share in (0.75, 0.55):
    targets += [
        Target(metric=f"gd_accuracy_{share}", criterion=exactly(1.0), place="abstract",
               says="gradient descent reaches zero test error"),
        Target(metric=f"adam_accuracy_{share}", criterion=within(share, 0.015), place="abstract",
               says="Adam's test error is that of the majority answer, arbitrarily near one half"),
        Target(metric=f"gd_train_mse_{share}", criterion=at_most(1e-3), says="gradient descent fits the training set"),
        Target(metric=f"adam_train_mse_{share}", criterion=at_most(1e-3), says="Adam fits the training set"),
        Target(metric=f"gd_accuracy_{share}", criterion=within(share, 0.015), control=True,
               says="gradient descent held to the majority answer"),
    ]
  return AdaptiveMarginalValue(
      paper=Paper("The Marginal Value of Adaptive Gradient Methods in Machine Learning",
                  "Wilson, Roelofs, Stern, Srebro, Recht", 2017, "NeurIPS", "https://arxiv.org/abs/1705.08292"),
      targets=tuple(targets), positive_shares=(0.55, 0.75), seeds=(0, 1, 2))
