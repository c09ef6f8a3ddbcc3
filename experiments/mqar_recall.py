"""Multi-query associative recall: attention solves it at any width, gated convolutions of the same width do not.

Arora, Eyuboglu, Timalsina, Johnson, Poli, Zou, Rudra, Ré 2024, "Zoology: Measuring and Improving Recall in Efficient Language
Models". Eight pairs in 64 tokens; smaller than the paper's vocabulary of 8,192, so the claim is tested.

  python launch.py --experiment=mqar_recall

20 minutes on one CPU core for three seeds. Expected: attention of width 64 recalls more than 99 %; four layers of gated
convolutions of width 32 at most half after 2,750 steps, where every run ends. In batches of 64 attention still guesses among
the eight values with one of three seeds, after 8,000 steps too, and with all three at twice the rate.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.mqar_recall import MQARRecall

_PLACE = "repository"


def experiment() -> MQARRecall:
  return MQARRecall(
      paper=Paper("Zoology: Measuring and Improving Recall in Efficient Language Models",
                  "Arora, Eyuboglu, Timalsina, Johnson, Poli, Zou, Rudra, Ré", 2024, "ICLR", "https://arxiv.org/abs/2312.04927"),
      targets=(
          Target(metric="attention_64_accuracy", criterion=at_least(0.99), place=_PLACE,
                 says="two layers of attention recall every pair"),
          Target(metric="convolution_accuracy", criterion=at_most(0.5), place=_PLACE,
                 says="four layers of gated convolutions of width 32 do not"),
          Target(metric="convolution_accuracy", criterion=at_least(0.99), control=True,
                 says="the convolutions, under the criterion of attention"),
      ),
      seeds=(0, 1, 2))
