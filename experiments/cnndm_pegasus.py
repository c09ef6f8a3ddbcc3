"""PEGASUS-large, fine-tuned on CNN/DailyMail. NOT RUN: it needs the weights, the corpus, and days of a TPU.

Zhang, Zhao, Saleh, Liu 2020, "PEGASUS": ROUGE-1/2/L 44.17/21.47/41.11, where L is Lsum.

  python launch.py --experiment=cnndm_pegasus --data_dir=DATA

72 hours on a TPU v3-32. Expected: those, beam 8. DATA holds weights/pegasus-large and fieldwork_cnn_dailymail (python -m
research.data.builders.prepare --set=cnn_dailymail).
"""

from experiments import cnndm_bart, xsum_pegasus
from research.experiment import Experiment


def experiment() -> Experiment:
  chosen = xsum_pegasus.decoding(most=128, alpha=0.9)
  data = cnndm_bart.data("fieldwork_cnn_dailymail", "article", "highlights", tokenizer=xsum_pegasus.FOLDER, batch_size=256,
                         lengths=((512, 128), (1024, 128)))
  return xsum_pegasus.run(data, cnndm_bart.AGAINST, "article", chosen, rate=5e-5, steps=170_000,
                          targets=cnndm_bart.targets((44.17, 21.47, 41.11), chosen, "Table 2"))
