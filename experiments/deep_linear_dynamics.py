"""Exact learning curves of a deep linear network.

Saxe, McClelland, Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks".

  python launch.py --experiment=deep_linear_dynamics

Seconds on one CPU core. Expected: every mode within 1 % of its formula over all 4,000 steps (0.1 to 0.5 %), and both
controls, the exponent halved and random weights, far outside.
"""

from research.paper import Paper, Target, at_most, exactly
from research.studies.deep_linear_dynamics import DeepLinearDynamics

PROCESS = {"x64": True}


def experiment() -> DeepLinearDynamics:
  return DeepLinearDynamics(
      paper=Paper("Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
                  "Saxe, McClelland, Ganguli", 2014, "ICLR", "https://arxiv.org/abs/1312.6120"),
      targets=(
          Target(metric="deviation", criterion=at_most(0.01), seeds="all", place="formula, as re-implemented by others",
                 says="u(t) = s·e^(2st/τ) / (e^(2st/τ) − 1 + s/u0): largest |u − formula| / s over modes and time"),
          Target(metric="modes_out_of_order", criterion=exactly(0), seeds="all", place="formula",
                 says="strong modes are learnt first: pairs of modes that reach half strength in the wrong order"),
          Target(metric="deviation_halved_exponent", criterion=at_most(0.01), seeds="all", control=True,
                 says="the same curves against e^(st/τ)"),
          Target(metric="deviation_random_weights", criterion=at_most(0.01), seeds="all", control=True,
                 says="random weights of the same size, neither balanced nor decoupled, against the formula"),
      ),
      seeds=(0, 1))
