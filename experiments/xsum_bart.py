"""BART-large, fine-tuned on XSum. NOT RUN: it needs the weights, the corpus, and hours of eight V100.

Lewis et al. 2020, "BART": ROUGE-1/2/L 45.14/22.27/37.25.

  python launch.py --experiment=xsum_bart --data_dir=DATA

4 hours on eight V100 (GPU). Expected: those, beam 6, 11 to 60 tokens, no trigram twice. DATA holds weights/bart-large and
fieldwork_xsum (python -m research.data.builders.prepare --set=xsum). A summary is one sentence, so that Lsum is L.
"""

import dataclasses

from experiments import cnndm_bart
from research.config import Duration
from research.decoding.constraints import Constraints
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.metrics.summarization import Rouge
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

DECODING = Decoding(search=Beam(num_beams=6, alpha=1.0, early_stopping=True), max_new_tokens=62,
                    constraints=Constraints(no_repeat_ngram=3, min_new_tokens=12, forced_first=0))


def experiment() -> Experiment:
  base, rouge = cnndm_bart.experiment(), Rouge()
  return dataclasses.replace(
      base, data=cnndm_bart.data("fieldwork_xsum", "document", "summary", tokenizer=cnndm_bart.FOLDER, bos=True, batch_size=64,
                                 lengths=((512, 64), (1024, 64))),
      task=TextToText(vocab_size=50_265, start_id=2, end_id=2, pad_id=1, label_smoothing=0.1, loss_chunk=2048, writing=Writing(
          decoding=DECODING, source="document", against=(Against(metric=rouge, reference="summary"),))),
      training=Training(steps=Duration(15_000), precision="bfloat16", num_microbatches=8),
      targets=cnndm_bart.targets((45.14, 22.27, 37.25), DECODING, "Table 3", rouge))
