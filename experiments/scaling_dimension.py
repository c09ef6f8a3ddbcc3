"""The exponent of a scaling law follows the dimension of the data: near 4/d. NOT RUN yet.

Sharma, Kaplan 2022, "Scaling Laws from the Data Manifold Dimension". Students of 4 to 32 units learn from a random teacher of
96 on inputs of 2, 4 and 8 dimensions.

  python launch.py --experiment=scaling_dimension

About 10 minutes on two CPU cores. Expected: exponents 1.46, 1.06, 0.81 (4/d is 2, 1, 0.5): they fall, and agree with 4/d at
four dimensions.
"""

from research.paper import Paper, Target, exactly, within
from research.studies.scaling_dimension import ScalingDimension


def experiment() -> ScalingDimension:
  return ScalingDimension(
      paper=Paper("Scaling Laws from the Data Manifold Dimension", "Sharma, Kaplan", 2022, "JMLR",
                  "https://arxiv.org/abs/2004.10802"),
      targets=(
          Target(metric="exponents_out_of_order", criterion=exactly(0), place="abstract",
                 says="the more dimensions, the smaller the exponent: neighbours in the wrong order, means of the seeds"),
          Target(metric="exponent_4", criterion=within(1, 0.25), place="abstract", says="α ≈ 4/d at d = 4"),
          Target(metric="exponent_8", criterion=within(1, 0.1), control=True, says="d = 8, under the theory for d = 4"),
      ),
      seeds=(0, 1))
