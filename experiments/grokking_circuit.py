"""Grokking taken apart: a Transformer adds modulo 113 by a few waves. NOT RUN: a minute on a GPU, two hours on a CPU.

Nanda, Chan, Lieberum, Smith, Steinhardt 2023, "Progress measures for grokking via mechanistic interpretability". 30 % of the
table, one layer of width 128 without normalisation, 40,000 full-batch updates of AdamW with weight decay 1.

  python launch.py --experiment=grokking_circuit

A minute on a GPU, two hours on two CPU cores for a seed, as estimated. Expected: the other pairs are known, with a loss below
0.01; five or so frequencies hold nine tenths of the embedding's power (in the paper's network 14, 35, 41, 42, 52), and with
these alone the loss falls well before it does on pairs that were not trained on. The paper sees the circuit form from 1,400 to
9,400 updates, and memory go until 14,000. The loss is float64's, as there: float32 knows none below 1e-7.
"""

from research.paper import Paper, Target, at_least, at_most
from research.studies.grokking_circuit import GrokkingCircuit

PROCESS = {"x64": True}


def experiment() -> GrokkingCircuit:
  return GrokkingCircuit(
      paper=Paper("Progress measures for grokking via mechanistic interpretability",
                  "Nanda, Chan, Lieberum, Smith, Steinhardt", 2023, "ICLR", "https://arxiv.org/abs/2301.05217"),
      targets=(
          Target(metric="test_loss", criterion=at_most(1e-2), place="abstract",
                 says="the network understands the pairs that it was not trained on: nats a pair"),
          Target(metric="key_frequencies", criterion=at_most(8), place="abstract",
                 says="a discrete Fourier transform: so many of 56 frequencies hold over 90 % of the embedding's power"),
          Target(metric="lead", criterion=at_least(100), place="abstract",
                 says="gradual beneath: updates by which the loss with key frequencies alone falls to half of guessing before "
                      "that of the other pairs does"),
          Target(metric="key_frequencies_at_start", criterion=at_most(8), control=True,
                 says="frequencies that hold 90 % of the embedding before training"),
          Target(metric="weakest_loss", criterion=at_most(2.36), control=True,
                 says="half of guessing with as many frequencies, the weakest, at any time: memory alone"),
      ),
      seeds=(0, 1, 2))
