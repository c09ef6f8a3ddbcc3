"""Gradient descent at the edge of stability.

Cohen, Kaur, Li, Kolter, Talwalkar 2021, "Gradient Descent on Neural Networks Typically Occurs at the Edge of
Stability". The paper trains on 5,000 CIFAR-10 images; here it is 1,000 handwritten digits of 8x8 pixels and a smaller
network: a test of the claim, not of a number.

  python launch.py --experiment=edge_of_stability

About 15 s a seed on two CPU cores. Expected: sharpness x learning rate / 2 from 1.00 to 1.01 over the last half of the
run. A learning rate of 0.1 is still on its way there (0.5) after 4,000 steps.
"""

from research.paper import Paper, Target, at_most, between
from research.studies.edge_of_stability import EdgeOfStability


def experiment() -> EdgeOfStability:
  targets = []
  for rate, other in ((0.2, 0.4), (0.4, 0.2)):
    targets += [
        Target(metric=f"sharpness_over_limit_{rate}", criterion=between(0.97, 1.05), place="authors' README",
               says="the sharpness rises to 2/η and hovers there: its mean over the last half, over 2/η"),
        Target(metric=f"late_over_early_loss_{rate}", criterion=at_most(1.0), place="authors' README",
               says="the loss goes on falling there: at the end over at step 500"),
        Target(metric=f"sharpness_{rate}_over_limit_{other}", criterion=between(0.97, 1.05), control=True,
               says="the limit of the other learning rate: the sharpness is no constant of data and network"),
    ]
  return EdgeOfStability(
      paper=Paper("Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability",
                  "Cohen, Kaur, Li, Kolter, Talwalkar", 2021, "ICLR", "https://arxiv.org/abs/2103.00065"),
      targets=tuple(targets), learning_rates=(0.2, 0.4), seeds=(0, 1, 2))
