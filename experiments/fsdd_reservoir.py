"""Steiner, Jalalvand, Birkholz 2022, PyRCN: spoken digits by an echo state network and a linear readout.

  python launch.py --experiment=fsdd_reservoir --data_dir=DIR      about 2 minutes on one CPU core

DIR holds speech/fsdd. Expected: 98 % of the test recordings with 400 units (the notebook has 97.67 %, on six speakers).
"""

from research.paper import Paper, Target, at_least, at_most, within
from research.studies.fsdd_reservoir import FSDDReservoir

_PLACE = "repository, examples/spoken_digit_recognition.ipynb"


def experiment() -> FSDDReservoir:
  return FSDDReservoir(
      paper=Paper("PyRCN: A toolbox for exploration and application of Reservoir Computing Networks",
                  "Steiner, Jalalvand, Stone, Birkholz", 2022, "Engineering Applications of Artificial Intelligence",
                  "https://arxiv.org/abs/2103.04807"),
      targets=(
          Target(metric="accuracy", criterion=within(98, 1.5), place=_PLACE,
                 says="400 random units and a linear readout recognise the digits, % of test recordings"),
          Target(metric="accuracy", criterion=within(97.67, 1), published=97.67, kind="number", place=_PLACE,
                 says="the same", not_comparable="five of the six speakers, 250 test recordings for 300"),
          Target(metric="no_reservoir", criterion=at_least(96.5), control=True,
                 says="the same readout without the reservoir"),
          Target(metric="unseen_speaker", criterion=at_most(96.5),
                 says="a speaker who was not in training is recognised less well, mean of the five"),
      ))
