"""Grokking: generalisation long after memorisation, on division modulo 97.

Power, Burda, Edwards, Babuschkin, Misra 2022, "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets". Half
of the table, a Transformer of two layers, AdamW with weight decay 1.

  python launch.py --experiment=grokking_division

About 20 minutes on two CPU cores. Expected: 99 % of the trained half after 400 steps, of the other half after 2,800; without
weight decay 2 % of it after 3,000. In the paper the delay is far longer (a thousand to a million steps): the claim is tested.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.grokking_division import GrokkingDivision


def experiment() -> GrokkingDivision:
  return GrokkingDivision(
      paper=Paper("Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets",
                  "Power, Burda, Edwards, Babuschkin, Misra", 2022, "arXiv", "https://arxiv.org/abs/2201.02177"),
      targets=(
          Target(metric="best_accuracy", criterion=at_least(0.99), place="text",
                 says="half the table teaches the other half: accuracy there within 6,000 steps"),
          Target(metric="delay", criterion=at_least(4), place="text",
                 says="long after memorisation: steps to 99 % of the other half, over steps to 99 % of the trained half"),
          Target(metric="accuracy_without_decay", criterion=at_most(0.05), place="text",
                 says="weight decay matters: accuracy without it after 3,000 steps"),
          Target(metric="accuracy_without_decay", criterion=at_least(0.99), control=True,
                 says="without weight decay, under the first row's criterion"),
          Target(metric="train_accuracy_without_decay", criterion=at_least(0.99),
                 says="it has learnt the trained half all the same"),
      ),
      seeds=(0, 1, 2))
