"""The implicit bias of gradient descent: the maximum margin, at the rate 1 / log t.

Soudry, Hoffer, Nacson, Gunasekar, Srebro 2018, "The Implicit Bias of Gradient Descent on Separable Data". Generated data:
20 separable examples in 5 dimensions.

  python launch.py --experiment=separable_margin

Seconds a seed on one CPU core. The paper's statement: the distance to the maximum-margin direction falls and becomes
linear in 1 / log t. Expected here: MISSED. The distance ends at 0.03 to 0.05, but R² is 0.91 (margin: 0.97) and in one of
three seeds there is a decade without a fall: a million steps are too few for problems with margins this small.
"""

from research.paper import Paper, Target, at_least, exactly
from research.studies.separable_margin import SeparableMargin

PROCESS = {"x64": True}


def experiment() -> SeparableMargin:
  return SeparableMargin(
      paper=Paper("The Implicit Bias of Gradient Descent on Separable Data", "Soudry, Hoffer, Nacson, Gunasekar, Srebro",
                  2018, "JMLR", "https://arxiv.org/abs/1710.10345"),
      targets=(
          Target(metric="decades_without_fall", criterion=exactly(0), place="abstract", seeds="all",
                 says="converges to the maximum-margin direction: decades of steps in which the distance did not fall"),
          Target(metric="direction_r2", criterion=at_least(0.98),
                 says="the distance is linear in 1/log t: R² from step 1,000"),
          Target(metric="margin_r2", criterion=at_least(0.98),
                 says="the missing margin is linear in 1/log t: R² from step 1,000"),
      ),
      seeds=(0, 1, 2))
