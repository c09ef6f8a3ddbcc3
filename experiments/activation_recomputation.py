"""Chen, Xu, Zhang, Guestrin 2016: the activations of n layers in memory of √n, for one extra forward pass.

  python launch.py --experiment=activation_recomputation

Seconds on one CPU core (the long chains are compiled, not run). Expected: memory as n^.99 kept and n^.46 recomputed, 15
times less at 1,024 layers, half as much work again, equal gradients.
"""

from research.paper import Paper, Target, at_least, at_most, exactly, within
from research.studies.activation_recomputation import ActivationRecomputation


def experiment() -> ActivationRecomputation:
  return ActivationRecomputation(
      paper=Paper("Training Deep Nets with Sublinear Memory Cost", "Chen, Xu, Zhang, Guestrin", 2016, "arXiv",
                  "https://arxiv.org/abs/1604.06174"),
      targets=(
          Target(metric="slope_segmented", criterion=within(0.5, 0.05), place="abstract",
                 says="O(√n) memory for n layers: log-log slope with √n segments recomputed"),
          Target(metric="slope_plain", criterion=within(1, 0.05), says="O(n) when all activations are kept"),
          Target(metric="ratio_longest", criterion=at_least(12), says="times less memory at 1,024 layers"),
          Target(metric="work_ratio", criterion=exactly(1.5), place="abstract",
                 says="for one extra forward pass: three passes of matrix products, not two"),
          Target(metric="gradient_difference", criterion=at_most(1e-6), says="the gradient stays the same"),
          Target(metric="slope_plain", criterion=within(0.5, 0.05), control=True, says="a scan alone saves nothing"),
      ),
      seeds=(0,))
