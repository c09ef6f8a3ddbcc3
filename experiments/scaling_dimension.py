"""The exponent of a scaling law follows the dimension of the data: near 4/d.

Sharma, Kaplan 2022, "Scaling Laws from the Data Manifold Dimension". Students of 4 to 32 units learn from a random teacher of
96 on inputs of 2, 4 and 8 dimensions.

  python launch.py --experiment=scaling_dimension

4 minutes on one CPU core. Expected: exponents 1.6, 1.0 and 0.6 (4/d is 2, 1, 0.5): they fall, and agree with 4/d at four
dimensions. Teacher and students begin with He's normal weights and no biases. Begun as torch begins them, with small random
biases, it was 0.85, 0.96 and 0.67: out of order.
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
