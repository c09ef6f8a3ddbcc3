"""Ravanelli et al. 2021, SpeechBrain's Conformer transducer on all of LibriSpeech. NOT RUN: it needs LibriSpeech.

  python launch.py --experiment=librispeech_rnnt --data_dir=DATA

DATA as for librispeech_conformer_s; some 96 hours on 8 GPUs. What others could reproduce: 2.72 % word errors on test-clean and
6.47 % on test-other without a language model, where the Conformer's own paper has 2.1 and 4.3 with its largest. Their network
has a CTC branch in the first epochs, which is left out here, and their search keeps several hypotheses.
"""

from experiments.librispeech_conformer_s import run
from research.experiment import Experiment
from research.models import conformer, transducer
from research.paper import Paper


def experiment() -> Experiment:
  encoder = conformer.Config(dim=512, num_layers=12, num_heads=8, mlp_dim=2048, kernel=31)
  return run(transducer.Config(encoder=encoder, embedding=512, width=512), 2.72, 6.47,
             paper=Paper("SpeechBrain: A general-purpose speech toolkit", "Ravanelli et al.", 2021, "arXiv",
                         "https://arxiv.org/abs/2106.04624"),
             place="repository, recipes/LibriSpeech/ASR/transducer")
