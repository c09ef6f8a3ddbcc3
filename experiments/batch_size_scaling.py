"""Shallue et al. 2019: steps to a target over the batch size: perfect scaling, diminishing returns, a floor.

  python launch.py --experiment=batch_size_scaling

About a minute on two CPU cores. Expected: a floor (1,024 needs over .9 of the steps of 256), but MISSED for perfect scaling
up to 16: 1.7 times the examples against the 1.5 allowed. The smallest batches are done in one pass, where every example is
new; drawn with replacement (--sampling=replacement) it is 1.4 times.
"""

from research.paper import Paper, Target, at_least, at_most, exactly
from research.studies.batch_size_scaling import BatchSizeScaling

_PLACE = "paper notes and re-implementations"


def experiment() -> BatchSizeScaling:
  return BatchSizeScaling(
      paper=Paper("Measuring the Effects of Data Parallelism on Neural Network Training",
                  "Shallue, Lee, Antognini, Sohl-Dickstein, Frostig, Dahl", 2019, "JMLR",
                  "http://jmlr.org/papers/v20/18-789.html"),
      targets=(
          Target(metric="proportional_spread", criterion=at_most(1.5), place=_PLACE,
                 says="perfect scaling: examples to the target, largest over smallest, for batches up to 16"),
          Target(metric="floor", criterion=at_least(0.8), place=_PLACE, says="a floor: steps at 1,024 over steps at 256"),
          Target(metric="spread_over_all", criterion=at_most(1.5), control=True,
                 says="perfect scaling does not go on to the largest batch"),
          Target(metric="rates_at_the_edge", criterion=exactly(0), says="no best rate lies at the edge of the search"),
      ))
