"""A translator in two and a half minutes: the 40,000 shortest pairs of Tatoeba, English to German, by a small Transformer.

Vaswani et al. 2017 have the network; no paper has a figure on this split, so that the criterion is our own.

  python launch.py --experiment=tatoeba_short --data_dir=DATA

Two and a half minutes on two CPU cores: to explain, export and serve a translator without waiting for one. Expected: at least
15 BLEU on the 765 shortest of the test sentences, of up to 24 letters in English, greedy (22 were measured).
"""

from experiments import tatoeba_en_de
from research.experiment import Experiment
from research.models import transformer_2017


def experiment() -> Experiment:
  model = transformer_2017.make(dim=128, num_layers=2, num_heads=4, mlp_dim=512, norm_first=True)
  return tatoeba_en_de.run(
      model, train=40_000, valid=364, test=765, vocab_size=4000, batch_size=64, lengths=((10, 10),), rate=3e-3, epochs=2,
      bleu=15, says="two minutes of two cores suffice for short sentences")
