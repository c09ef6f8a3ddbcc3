"""PEGASUS-large, fine-tuned on XSum. NOT RUN: it needs the weights, the corpus, and days of a TPU.

Zhang, Zhao, Saleh, Liu 2020, "PEGASUS": ROUGE-1/2/L 47.21/24.56/39.25.

  python launch.py --experiment=xsum_pegasus --data_dir=DATA

48 hours on a TPU v3-32. Expected: those, beam 8. DATA holds weights/pegasus-large as Hugging Face has it and fieldwork_xsum
(python -m research.data.builders.prepare --set=xsum). A summary is one sentence, so that Lsum is L.
"""

import dataclasses

from experiments import cnndm_bart
from research.config import Duration
from research.data.dataset import Data
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.metrics.summarization import Rouge
from research.models import pegasus
from research.optimizers.adafactor import Adafactor
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper
from research.pretrained.weights import Pretrained
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

FOLDER = "weights/pegasus-large"


def decoding(*, most: int, alpha: float) -> Decoding:
  return Decoding(search=Beam(num_beams=8, length_penalty="gnmt", alpha=alpha, early_stopping="never"), max_new_tokens=most)


def model() -> pegasus.Config:
  """PEGASUS-large that keeps the layers' inputs alone for the backward pass: with all the rest it needs twice a TPU v3's."""
  large, remat = pegasus.pegasus_large(), lambda stack: dataclasses.replace(stack, remat="full")
  return dataclasses.replace(large, encoder=remat(large.encoder), decoder=remat(large.decoder))


def run(data: Data, against: Against, source: str, chosen: Decoding, *, rate: float, steps: int, targets) -> Experiment:
  return Experiment(
      paper=Paper("PEGASUS: Pre-training with Extracted Gap-sentences for Abstractive Summarization", "Zhang, Zhao, Saleh, Liu",
                  2020, "ICML", "https://arxiv.org/abs/1912.08777"),
      data=data, model=model(), seeds=(0,), pretrained=Pretrained(path=FOLDER, names="hf"),
      task=TextToText(vocab_size=96_103, start_id=0, end_id=1, pad_id=0, label_smoothing=0.1, loss_chunk=2048,
                      writing=Writing(decoding=chosen, source=source, against=(against,))),
      optimizer=Adafactor(learning_rate=rate, schedule=InverseSqrt(warmup=Duration(10_000))),
      training=Training(steps=Duration(steps), precision="bfloat16", num_microbatches=8), targets=targets)


def experiment() -> Experiment:
  rouge, chosen = Rouge(), decoding(most=64, alpha=0.6)
  data = cnndm_bart.data("fieldwork_xsum", "document", "summary", tokenizer=FOLDER, batch_size=256, lengths=((512, 64),))
  return run(data, Against(metric=rouge, reference="summary"), "document", chosen, rate=1e-4, steps=130_000,
             targets=cnndm_bart.targets((47.21, 24.56, 39.25), chosen, "Table 2", rouge))
