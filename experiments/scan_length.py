"""Lake, Baroni 2018, SCAN's length split: after up to 22 actions few commands of 24 to 48 are followed: 13.8 %.

  python launch.py --experiment=scan_length --data_dir=DATA

About 8 minutes on two CPU cores for three seeds. Expected: 8 to 20 %; one seed in batches of 4, as scan_simple has them, gave
14.7 %. See scan_simple for what differs from the paper.
"""

from experiments import scan_simple
from research.experiment import Experiment
from research.paper import within


def experiment() -> Experiment:
  return scan_simple.run("length", within(0.14, 0.06), 0.138, "longer commands are mostly not followed")
