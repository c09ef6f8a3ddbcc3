"""Hu et al. 2022: LoRA's adapters begin as nothing, cost r(d_in + d_out) numbers a weight, and can be added to it.

  python launch.py --experiment=lora_merge_identity

Seconds on one CPU core. Expected: differences of 0 at the start and of 1e-6 after merging; 6 % of the weights are trained.
"""

from research.paper import Paper, Target, at_least, at_most, exactly
from research.studies.lora_merge_identity import LoRAMergeIdentity


def experiment() -> LoRAMergeIdentity:
  return LoRAMergeIdentity(
      paper=Paper("LoRA: Low-Rank Adaptation of Large Language Models", "Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen",
                  2022, "ICLR", "https://arxiv.org/abs/2106.09685"),
      targets=(
          Target(metric="start_difference", criterion=exactly(0), place="section 4.1",
                 says="B is 0 at the beginning of training, so ΔW = BA is 0"),
          Target(metric="merge_difference", criterion=at_most(1e-5), place="section 4.1",
                 says="W = W0 + BA can be computed and stored, and inference is as usual"),
          Target(metric="trained_over_formula", criterion=exactly(1), place="section 4.2",
                 says="r (d_in + d_out) numbers of a weight are trained"),
          Target(metric="loss_ratio", criterion=at_most(0.5), says="and they learn"),
          Target(metric="moved", criterion=at_least(0.01), says="it has moved by more than what merging rounds away"),
      ))
