"""Lake, Baroni 2018, SCAN's jump split: who learned "jump" and "walk twice" does not know "jump twice": 0.08 %.

  python launch.py --experiment=scan_jump --data_dir=DATA

About 8 minutes on two CPU cores for three seeds. Expected: at most 3 %. See scan_simple for what differs from the paper.
"""

from experiments import scan_simple
from research.experiment import Experiment
from research.paper import at_most


def experiment() -> Experiment:
  return scan_simple.run("addprim_jump", at_most(0.03), 0.0008, "a new verb in old phrases is not understood")
