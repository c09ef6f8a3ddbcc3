"""Gulati et al. 2020, Conformer L, 118.8 million parameters, on all of LibriSpeech. NOT RUN: it needs LibriSpeech.

  python launch.py --experiment=librispeech_conformer_l --data_dir=DATA

As librispeech_conformer_s, some 160 hours on 8 GPUs. Expected: 2.1 % word errors on test-clean and 4.3 % on test-other,
without a language model.
"""

from experiments.librispeech_conformer_s import run
from research.experiment import Experiment
from research.models import transducer


def experiment() -> Experiment:
  return run(transducer.conformer_transducer_l(), 2.1, 4.3)
