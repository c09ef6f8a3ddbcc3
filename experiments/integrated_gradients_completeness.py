"""Integrated gradients explain the whole score: attributions sum to its change from the baseline.

Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks".

  python launch.py --experiment=integrated_gradients_completeness

About a minute on two CPU cores. Expected: mean relative gap 0.4 % at 20 steps, 0.15 % at 50, 0.03 % at 300; accuracy
98.9 %. Digits and a small network instead of the paper's image and text models, so the claim is tested.
"""

from research.paper import Paper, Target, at_most, exactly
from research.studies.integrated_gradients_completeness import IntegratedGradientsCompleteness


def experiment() -> IntegratedGradientsCompleteness:
  return IntegratedGradientsCompleteness(
      paper=Paper("Axiomatic Attribution for Deep Networks", "Sundararajan, Taly, Yan", 2017, "ICML",
                  "https://arxiv.org/abs/1703.01365"),
      targets=(
          Target(metric="gap_20", criterion=at_most(0.05), place="text",
                 says="20 to 300 steps are enough for the integral within 5 %"),
          Target(metric="gap_50", criterion=at_most(0.01), place="text", says="attributions sum to F(x) − F(x')"),
          Target(metric="gap_300", criterion=at_most(0.001), place="text", says="attributions sum to F(x) − F(x')"),
          Target(metric="dead_attribution", criterion=exactly(0), seeds="all", place="text",
                 says="an input equal to its baseline gets nothing"),
          Target(metric="gap_1", criterion=at_most(0.01), control=True,
                 says="one gradient, at half the image, is not enough"),
          Target(metric="dead_gradient", criterion=exactly(0), control=True,
                 says="the plain gradient is not zero at pixels that are always black"),
      ),
      seeds=(0, 1, 2))
