"""The coordinate check of muP: what a step changes does not depend on width.

Yang, Hu, Babuschkin, Sidor, Liu, Farhi, Ryder, Pachocki, Chen, Gao 2021, "Tensor Programs V: Tuning Large Neural
Networks via Zero-Shot Hyperparameter Transfer". Generated data, a three-layer ReLU network of width 64 to 2,048.

  python launch.py --experiment=mup_coordinate_check

Half a minute for three seeds on two CPU cores. Expected: log-log slopes of the change against width of 0.0 under muP;
under the standard parametrisation about 0.9 for the second layer and 1.0 for the logits.
"""

from research.paper import Paper, Target, at_least, between
from research.studies.mup_coordinate_check import MupCoordinateCheck


def experiment() -> MupCoordinateCheck:
  flat, place = between(-0.1, 0.1), "microsoft/mup README"
  return MupCoordinateCheck(
      paper=Paper("Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer",
                  "Yang, Hu, Babuschkin, Sidor, Liu, Farhi, Ryder, Pachocki, Chen, Gao", 2021, "NeurIPS",
                  "https://arxiv.org/abs/2203.03466"),
      targets=(
          *(Target(metric=f"mup_{layer}_slope", criterion=flat, place=place,
                   says=f"under muP the change of {layer} is flat in width: log-log slope")
            for layer in ("h1", "h2", "logits")),
          *(Target(metric=f"sp_{layer}_slope", criterion=at_least(0.7), place=place,
                   says=f"under the standard parametrisation the change of {layer} grows with width: log-log slope")
            for layer in ("h2", "logits")),
          Target(metric="sp_logits_slope", criterion=flat, control=True,
                 says="the standard parametrisation held to muP's criterion"),
      ),
      widths=(64, 128, 256, 512, 1_024, 2_048), seeds=(0, 1, 2))
