"""Superposition: five sparse features share two dimensions as a pentagon.

Elhage, Hume, Olsson, Schiefer, Henighan, Kravec, Hatfield-Dodds, Lasenby, Drain, Chen, Grosse, McCandlish, Kaplan, Amodei,
Wattenberg, Olah 2022, "Toy Models of Superposition".

  python launch.py --experiment=superposition

Two minutes on one CPU core: three seeds of eight networks at four sparsities. Expected: dense inputs keep two features;
with 99 % zeros all five, each with 0.39 to 0.41 of a dimension, in each network. After 5,000 steps one of the 24 networks on
dense inputs had not yet decided between two features and three; these are 10,000.
"""

from research.paper import Paper, Target, at_least, between, exactly
from research.studies.superposition import Superposition

_PLACE = "re-implementation"


def experiment() -> Superposition:
  return Superposition(
      paper=Paper("Toy Models of Superposition", "Elhage, Hume, Olsson, ..., Wattenberg, Olah", 2022,
                  "Transformer Circuits Thread", "https://arxiv.org/abs/2209.10652"),
      targets=(
          *(Target(metric=f"{which}_features_0", criterion=exactly(2), place=_PLACE, seeds="all",
                   says=f"dense inputs: as many features as dimensions; {which} of the networks")
            for which in ("fewest", "most")),
          Target(metric="fewest_features_0.99", criterion=exactly(5), place=_PLACE, seeds="all",
                 says="99 % zeros: all five features in two dimensions; fewest of the networks"),
          *(Target(metric=f"{which}_dimensionality_0.99", criterion=between(0.37, 0.43), place=_PLACE, seeds="all",
                   says=f"99 % zeros: 2/5 of a dimension a feature, as in a pentagon; {which} of all features")
            for which in ("least", "most")),
          Target(metric="most_features_0", criterion=at_least(5), control=True, seeds="all",
                 says="all five features from dense inputs"),
      ),
      seeds=(0, 1, 2))
