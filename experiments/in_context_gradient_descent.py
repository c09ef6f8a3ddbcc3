"""A trained layer of linear self-attention does one step of gradient descent on the examples it is shown.

Von Oswald, Niklasson, Randazzo, Sacramento, Mordvintsev, Zhmoginov, Vladymyrov 2023, "Transformers Learn In-Context by
Gradient Descent". Regression from 10 examples of 10 inputs, fresh tasks at each step.

  python launch.py --experiment=in_context_gradient_descent

About a minute on two CPU cores. Expected: loss 1.004 to 1.007 of that of the best step of gradient descent.
"""

from research.paper import Paper, Target, at_most, within
from research.studies.in_context_gradient_descent import InContextGradientDescent


def experiment() -> InContextGradientDescent:
  return InContextGradientDescent(
      paper=Paper("Transformers Learn In-Context by Gradient Descent",
                  "von Oswald, Niklasson, Randazzo, Sacramento, Mordvintsev, Zhmoginov, Vladymyrov", 2023, "ICML",
                  "https://arxiv.org/abs/2212.07677"),
      targets=(
          Target(metric="loss_over_descent", criterion=at_most(1.01), place="abstract", seeds="all",
                 says="trained linear self-attention matches gradient descent: loss over that of the best single step"),
          Target(metric="construction_over_descent", criterion=within(1, 1e-4), place="proposition 1", seeds="all",
                 says="the construction is that step: loss of its weights over the step's"),
          Target(metric="untrained_over_descent", criterion=at_most(1.01), control=True, says="the layer before training"),
          Target(metric="half_rate_over_descent", criterion=at_most(1.01), control=True,
                 says="a step of half the best size: the loss tells step sizes apart"),
      ),
      seeds=(0, 1, 2))
