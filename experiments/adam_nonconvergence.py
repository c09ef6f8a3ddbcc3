"""Adam fails on a convex problem, AMSGrad does not.

Reddi, Kale, Kumar 2018, "On the Convergence of Adam and Beyond".

  python launch.py --experiment=adam_nonconvergence

Seconds on one CPU core. Expected: Adam at +1 with a mean regret above 0.2, AMSGrad near -1 (periodic -0.997, random
-0.93) with one below 0.1. In the random problem the three seeds of AMSGrad spread from -0.99 to -0.83: the last is
outside the criterion alone, the mean is what counts. With learning_rate=0.1 AMSGrad is only half way after 1e6 steps.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.adam_nonconvergence import AdamNonconvergence

PROCESS = {"x64": True}


def experiment() -> AdamNonconvergence:
  place = "synthetic experiment, functions as in torchbearer's AMSGrad example"
  targets = []
  for problem, reach in (("online", -0.95), ("stochastic", -0.9)):
    targets += [
        Target(metric=f"{problem}_adam_x", criterion=at_least(0.99), place=place,
               says="Adam converges to +1, the worst point"),
        Target(metric=f"{problem}_amsgrad_x", criterion=at_most(reach), place=place,
               says="AMSGrad converges to -1, the optimum"),
        Target(metric=f"{problem}_adam_regret", criterion=at_least(0.1), place=place,
               says="Adam's mean regret does not vanish"),
        Target(metric=f"{problem}_amsgrad_regret", criterion=at_most(0.1), place=place,
               says="AMSGrad's mean regret goes to zero"),
        Target(metric=f"{problem}_adam_x", criterion=at_most(reach), control=True,
               says="Adam held to AMSGrad's criterion"),
    ]
  return AdamNonconvergence(
      paper=Paper("On the Convergence of Adam and Beyond", "Reddi, Kale, Kumar", 2018, "ICLR",
                  "https://arxiv.org/abs/1904.09237"),
      targets=tuple(targets), seeds=(0, 1, 2))
