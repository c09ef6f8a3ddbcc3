"""Markov chains learned in context: first from single states, then, suddenly, from pairs.

Edelman, Tsilivis, Edelman, Malach, Goel 2024, "The Evolution of Statistical Induction Heads: In-Context Learning Markov
Chains". Chains of three states, 100 states long, two layers of attention of width 32.

  python launch.py --experiment=statistical_induction_heads

About 2 minutes on two CPU cores. Expected: after 100 steps the network says what counting single states says (KL 0.02, to
counting pairs 0.10), after 300 steps what counting pairs says (0.02, to single states 0.10); one layer stays with the first.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.statistical_induction_heads import StatisticalInductionHeads

_CLOSE = 0.04


def experiment() -> StatisticalInductionHeads:
  rows = (("unigram_early_2", "bigram_early_2", "two layers, step 100: unigrams"),
          ("bigram_late_2", "unigram_late_2", "two layers, step 300: bigrams"),
          ("unigram_late_1", "bigram_late_1", "one layer, step 300: unigrams still"))
  targets = []
  for near, far, says in rows:
    targets += [Target(metric=near, criterion=at_most(_CLOSE), place="abstract", says=f"{says}; KL from that strategy"),
                Target(metric=far, criterion=at_least(_CLOSE), place="abstract", says=f"{says}; KL from the other")]
  return StatisticalInductionHeads(
      paper=Paper("The Evolution of Statistical Induction Heads: In-Context Learning Markov Chains",
                  "Edelman, Tsilivis, Edelman, Malach, Goel", 2024, "NeurIPS", "https://arxiv.org/abs/2402.11004"),
      targets=(*targets,
               Target(metric="bigram_late_1", criterion=at_most(_CLOSE), control=True, says="one layer finds bigrams")),
      seeds=(0, 1, 2))
