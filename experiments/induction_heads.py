"""Induction heads form in two layers of attention and not in one.

Olsson, Elhage, Nanda, Joseph, DasSarma, Henighan, ..., Olah 2022, "In-context Learning and Induction Heads". Random tokens that
repeat themselves with a random period, attention-only Transformers of width 64.

  python launch.py --experiment=induction_heads

About 4 minutes on two CPU cores. Expected: with two layers a loss of 0.01 nats on the second half, a head that looks at what
followed last time (0.96 of its attention) and one that looks at the token before (0.9); with one layer 2.6 nats. All this
with GPT-2's initial weights: a first run, with dense weights N(0, 1/inputs) beside embeddings N(0, 0.02²), missed the three
targets of two layers (1.56 nats).
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.induction_heads import InductionHeads


def experiment() -> InductionHeads:
  return InductionHeads(
      paper=Paper("In-context Learning and Induction Heads", "Olsson, Elhage, Nanda, Joseph, DasSarma, ..., Olah", 2022,
                  "Transformer Circuits Thread", "https://arxiv.org/abs/2209.11895"),
      targets=(
          Target(metric="second_half_2", criterion=at_most(0.1), place="abstract",
                 says="two layers learn in context: nats a token where the sequence repeats itself"),
          Target(metric="prefix_match_2", criterion=at_least(0.7), place="abstract",
                 says="a head looks at what followed the token before: its attention there"),
          Target(metric="previous_token_2", criterion=at_least(0.4),
                 says="another looks at the token before: its attention there"),
          Target(metric="second_half_1", criterion=at_least(2), says="one layer cannot: its loss stays above"),
          Target(metric="second_half_1", criterion=at_most(0.1), control=True,
                 says="one layer, under the first row's criterion"),
          Target(metric="prefix_match_1", criterion=at_least(0.2), control=True, says="an induction head in one layer"),
      ),
      seeds=(0, 1, 2))
