"""Addition is learned from fewer sums if answers are written backwards. NOT RUN: minutes on a GPU, days on a CPU.

Lee, Sreenivasan, Lee, Lee, Papailiopoulos 2024, "Teaching arithmetic to small Transformers". nanoGPT of 6 layers of width 384,
10,000 sums of numbers of up to three digits, balanced by digits and carries; 10,000 updates with plain answers, 5,000 with
reversed ones, as the authors have them.

  python launch.py --experiment=reversed_addition

10 minutes on a GPU for a seed, as estimated. Expected: reversed, between dollar signs, nearly all of 10,000 new sums are right;
plain, after twice the training, some 15 of 100 are wrong. The authors sample at a temperature of 0.8, here decoding is greedy;
the vocabulary is ASCII's 128 characters, theirs 96, of which the text has 14.
"""

from research.paper import Paper, Target, at_least
from research.studies.reversed_addition import ReversedAddition

_SIGNATURE = "whole answer with its end|greedy"


def experiment() -> ReversedAddition:
  return ReversedAddition(
      paper=Paper("Teaching Arithmetic to Small Transformers", "Lee, Sreenivasan, Lee, Lee, Papailiopoulos", 2024, "ICLR",
                  "https://arxiv.org/abs/2307.03381"),
      targets=(
          Target(metric="reversed_exact", criterion=at_least(0.95), place="abstract", signature=_SIGNATURE,
                 says="answers with the last digit first: new sums that are right"),
          Target(metric="gap", criterion=at_least(0.05), place="abstract",
                 says="simple formatting changes can significantly improve accuracy: reversed less plain"),
          Target(metric="plain_exact", criterion=at_least(0.95), control=True, signature=_SIGNATURE,
                 says="answers as people write them, under the first row's criterion"),
      ),
      seeds=(0, 1, 2))
