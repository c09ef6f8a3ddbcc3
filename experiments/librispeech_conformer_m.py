"""Gulati et al. 2020, Conformer M, 30.7 million parameters, on all of LibriSpeech. NOT RUN: it needs LibriSpeech.

  python launch.py --experiment=librispeech_conformer_m --data_dir=DATA

As librispeech_conformer_s, some 72 hours on 8 GPUs. Expected: 2.3 % word errors on test-clean and 5.0 % on test-other,
without a language model.
"""

from experiments.librispeech_conformer_s import run
from research.experiment import Experiment
from research.models import transducer


def experiment() -> Experiment:
  return run(transducer.conformer_transducer_m(), 2.3, 5.0)
