"""How fast Hebb's rule learns: an exact learning curve.

Vallet 1989, "The Hebb Rule for Learning Linearly Separable Boolean Functions: Learning and Generalization"; reviewed in
Watkin, Rau, Biehl 1993, "The statistical mechanics of learning a rule".

  python launch.py --experiment=hebbian_perceptron_curve

Seconds on one CPU core. Expected: the error within 2 % of its closed form from half an example a weight to 16.
"""

from research.paper import Paper, Target, at_most
from research.studies.hebbian_perceptron_curve import HebbianPerceptronCurve


def experiment() -> HebbianPerceptronCurve:
  return HebbianPerceptronCurve(
      paper=Paper("The Hebb Rule for Learning Linearly Separable Boolean Functions: Learning and Generalization", "Vallet",
                  1989, "Europhysics Letters", "https://doi.org/10.1209/0295-5075/8/8/007"),
      targets=(
          Target(metric="largest_gap", criterion=at_most(0.02),
                 says="error = arccos(√(2α/(2α+π)))/π: largest relative gap over α"),
          Target(metric="gap_of_inverse_root", criterion=at_most(0.02), control=True,
                 says="the same against a plain 1/√α through the first point"),
      ),
      seeds=(0, 1, 2))
