"""nanoGPT's character model of Shakespeare. NOT RUN: minutes on a GPU, hours on a CPU.

A README, not a paper: the best of the evaluations during training is 1.4697 nats a character.

  python launch.py --experiment=shakespeare_char_gpu --data_dir=DATA

3 minutes on an A100. Expected: 1.47, over the whole last tenth of the text; the README takes the mean over 200 batches of it.
"""

import dataclasses

from experiments import shakespeare_char
from research.config import Duration
from research.experiment import Experiment
from research.paper import Target, within
from research.training.settings import Training


def experiment() -> Experiment:
  return dataclasses.replace(
      shakespeare_char.experiment(), data=shakespeare_char.data(length=256, batch_size=64),
      model=shakespeare_char.model(dim=384, num_layers=6, num_heads=6, length=256, dropout=0.2),
      training=Training(steps=Duration(5000), precision="bfloat16", evaluate_every=Duration(250), best_metric="valid/loss",
                        evaluate_with="best"),
      targets=(Target(metric="valid/loss", criterion=within(1.47, 0.02), signature="nats/character", published=1.4697,
                      kind="number", place="README", says="nats a character on the last tenth of the text, the best"),))
