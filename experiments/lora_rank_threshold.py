"""The rank at which LoRA can turn one linear network into any other, and what is left below it.

Zeng, Lee 2024, "The Expressive Power of Low-Rank Adaptation". Random networks of 1, 2 and 4 layers of 16 x 16, random goals,
adapters on each layer, float64.

  python launch.py --experiment=lora_rank_threshold

About a minute on two CPU cores. Expected: squared error over that of the singular values beyond rank x layers 1.00, at most
1.01; nothing left once rank x layers is 16. With four layers Adam needs its 12,000 steps at 0.03: after 6,000 at 0.01 the error
was up to 8 % above at some rank.
"""

from research.paper import Paper, Target, at_most, between
from research.studies.lora_rank_threshold import LoRARankThreshold

PROCESS = {"x64": True}

_ROUNDING = 1e-9


def experiment() -> LoRARankThreshold:
  targets = []
  for depth in (1, 2, 4):
    says = f"depth {depth}: error over the singular values of the gap beyond rank x layers"
    targets += [
        *(Target(metric=f"{which}_over_tail_{depth}", criterion=between(1 - _ROUNDING, 1.01), place="abstract",
                 says=f"{says}, {which} of the ranks") for which in ("least", "most")),
        Target(metric=f"left_at_threshold_{depth}", criterion=at_most(1e-6), place="abstract",
               says=f"depth {depth}: nothing of the squared gap is left once rank x layers reaches the width"),
        Target(metric=f"left_below_threshold_{depth}", criterion=at_most(1e-6), control=True,
               says=f"depth {depth}: nothing is left below that rank"),
    ]
  return LoRARankThreshold(
      paper=Paper("The Expressive Power of Low-Rank Adaptation", "Zeng, Lee", 2024, "ICLR", "https://arxiv.org/abs/2310.17513"),
      targets=tuple(targets), seeds=(0, 1, 2))
