"""The big Transformer with large batches on WMT 2016, English to German. NOT RUN: it needs the corpus, and hours of 128 GPUs.

Ott, Edunov, Grangier, Auli 2018, "Scaling Neural Machine Translation": 29.3 BLEU on newstest2014, 28.6 by sacreBLEU.

  python launch.py --experiment=wmt16_scaling_nmt --data_dir=DATA

85 minutes on 128 V100 (GPU), some 11 hours on eight. Expected: 29.3 of split tokens; the 0.7 between the two are protocol only.
DATA holds fieldwork_wmt16_de_en, and fieldwork_wmt14_de_en for the test set (python -m research.data.builders.prepare).
"""

import dataclasses

from experiments import wmt14_ende_base
from research.experiment import Experiment
from research.metrics.translation import Bleu
from research.models import transformer_2017
from research.paper import Paper, Target, within


def experiment() -> Experiment:
  run = wmt14_ende_base.run(
      transformer_2017.transformer_big(), wmt14_ende_base.data(year=16, num_merges=32_000, batch_size=1792), rate=1e-3,
      steps=43_000, checkpoints=10, save=1000, published=29.29)
  signature = f"{Bleu().metrics['bleu'].signature}|{wmt14_ende_base.DECODING.signature}"
  paper = Paper("Scaling Neural Machine Translation", "Ott, Edunov, Grangier, Auli", 2018, "WMT", "https://arxiv.org/abs/1806.00187")
  return dataclasses.replace(run, paper=paper, targets=(*run.targets, Target(
      metric="newstest2014/bleu", criterion=within(28.6, 0.5), published=28.6, kind="number", signature=signature,
      place="section 4.5", says="sacreBLEU of detokenized text on newstest2014")))
