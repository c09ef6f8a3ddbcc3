"""The Transformer of 2017, big, on WMT 2014, English to German. NOT RUN: it needs the corpus, and days of GPUs.

Vaswani et al. 2017, "Attention Is All You Need": 28.4 BLEU on newstest2014.

  python launch.py --experiment=wmt14_ende_big --data_dir=DATA

84 hours on eight P100 (GPU). Expected: that, with the mean of the last twenty checkpoints. Protocol as in wmt14_ende_base.
"""

from experiments import wmt14_ende_base
from research.experiment import Experiment
from research.models import transformer_2017


def experiment() -> Experiment:
  return wmt14_ende_base.run(transformer_2017.transformer_big(), wmt14_ende_base.data(), rate=5e-4, steps=300_000,
                             checkpoints=20, published=28.4)
