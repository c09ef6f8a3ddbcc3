"""MAML: initial weights from which ten examples and one gradient step give a new sine wave.

Finn, Abbeel, Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks". ReLU network 40-40, inner step
0.01, 25 tasks a step, 40,000 steps, 600 new waves.

  python launch.py --experiment=maml_sinusoid

About three minutes on two CPU cores. Expected: mean squared error 0.35 to 0.40 after one step and 0.10 after ten; 2.5 after ten
steps from weights that were trained on all waves at once.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.maml_sinusoid import MAMLSinusoid

_PLACE = "authors' README, protocol"


def experiment() -> MAMLSinusoid:
  return MAMLSinusoid(
      paper=Paper("Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", "Finn, Abbeel, Levine", 2017, "ICML",
                  "https://arxiv.org/abs/1703.03400"),
      targets=(
          Target(metric="meta_error_1", criterion=at_most(0.45), place=_PLACE,
                 says="one gradient step on ten examples learns a new wave: mean squared error"),
          Target(metric="meta_error_10", criterion=at_most(0.15), place=_PLACE, says="more steps go on improving: after ten"),
          Target(metric="pretrained_error_10", criterion=at_least(1.5), place=_PLACE,
                 says="weights that fit all waves at once do not: after ten steps"),
          Target(metric="pretrained_error_10", criterion=at_most(0.15), control=True,
                 says="those weights, under the second row's criterion"),
          Target(metric="meta_error_0", criterion=at_most(0.45), control=True, says="the learnt weights, before any step"),
      ),
      seeds=(0, 1))
