"""Hidden progress: SGD learns a sparse parity after a long plateau.

Barak, Edelman, Goel, Kakade, Malach, Zhang 2022, "Hidden Progress in Deep Learning: SGD Learns Parities Near the
Computational Limit". Product of 3 of 50 signs, one hidden layer of 100 units, fresh batches of 32.

  python launch.py --experiment=sparse_parity

Seconds a seed on one CPU core. Expected: accuracy at chance after 1,000 steps, above 0.99 after 2,000 to 4,000. Missed: our
measure of hidden progress, the share of the weights that lie on the parity's signs, is 1.03 of what it was at the start
after 1,000 steps, not 1.1; the paper measures the Fourier gap of the gradient instead.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.sparse_parity import SparseParity


def experiment() -> SparseParity:
  return SparseParity(
      paper=Paper("Hidden Progress in Deep Learning: SGD Learns Parities Near the Computational Limit",
                  "Barak, Edelman, Goel, Kakade, Malach, Zhang", 2022, "NeurIPS", "https://arxiv.org/abs/2207.08799"),
      targets=(
          Target(metric="best_accuracy", criterion=at_least(0.99), place="abstract", seeds="all",
                 says="SGD learns the parity: accuracy within 10,000 steps"),
          Target(metric="early_accuracy", criterion=at_most(0.55), place="abstract", seeds="all",
                 says="a plateau first: accuracy after 1,000 steps"),
          Target(metric="hidden_progress", criterion=at_least(1.1), place="abstract",
                 says="hidden progress on the plateau: share of the weights on the parity's signs, over that at the start"),
          Target(metric="early_accuracy", criterion=at_least(0.99), control=True, says="learnt within the plateau's time"),
      ),
      seeds=(0, 1, 2))
