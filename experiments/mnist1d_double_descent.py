"""Greydanus, Kobak 2024, MNIST-1D's double descent, after Belkin et al. 2019 and Nakkiran et al. 2020.

  python launch.py --experiment=mnist1d_double_descent

About 5 minutes on two CPU cores (three seeds of 16 trainings). Expected test error with 15 % of the labels drawn anew: 50 %
at width 16, a peak of 55 % at width 47, 45.5 % at width 300; with clean labels it only falls.
"""

from research.paper import Paper, Target, at_least, at_most, between, within
from research.studies.mnist1d_double_descent import MNIST1DDoubleDescent

_PLACE = "repository, notebooks/deep-double-descent.ipynb"


def experiment() -> MNIST1DDoubleDescent:
  return MNIST1DDoubleDescent(
      paper=Paper("Scaling down deep learning with MNIST-1D", "Greydanus, Kobak", 2024, "ICML",
                  "https://github.com/greydanus/mnist1d"),
      targets=(
          Target(metric="test_noisy_300", criterion=within(45.5, 1.5), published=45.47, kind="number", place=_PLACE,
                 says="test error in % at width 300, with label noise"),
          Target(metric="peak_width_noisy", criterion=between(27, 61), place=_PLACE,
                 says="the peak after the first minimum is where the labels can just be fitted"),
          Target(metric="rise_noisy", criterion=at_least(2), place=_PLACE, says="error rises from width 16 to it, by points"),
          Target(metric="fall_noisy", criterion=at_least(6), place=_PLACE, says="and falls from the peak to width 300"),
          Target(metric="largest_misfit_width", criterion=at_most(60), place=_PLACE,
                 says="every training label is fitted, noise too, from width 61 on"),
          Target(metric="rise_clean", criterion=at_least(2), control=True, place=_PLACE,
                 says="with clean labels there is no such peak"),
      ))
