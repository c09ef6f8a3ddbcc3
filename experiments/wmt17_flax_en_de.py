"""Flax's translation example on WMT 2017, English to German. NOT RUN: it needs the corpus, and a day of eight V100.

Flax, examples/wmt, README: 25.69 BLEU with eight V100. It says "en-de"; in the code the set is called de-en, and reversed.

  python launch.py --experiment=wmt17_flax_en_de --data_dir=DATA

24 hours on eight V100 (GPU). Expected: 25.7 on newstest2014, beam 4. DATA holds fieldwork_wmt17_de_en and fieldwork_wmt14_de_en
for the test set (python -m research.data.builders.prepare). The README's 32.45 with a TPU v3-32 is of another run.
"""

from experiments.wmt14_ende_base import BEAM
from research.config import Duration
from research.data.dataset import Data
from research.data.text_data import pairs
from research.data.tfds import TFDS
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.decoding.settings import Decoding
from research.experiment import Experiment
from research.metrics.translation import Bleu
from research.models import transformer_2017
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper, Target, within
from research.preprocessing.text.training import SentencePieces
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

TRAIN = TFDS(name="fieldwork_wmt17_de_en", split="train")
DECODING = Decoding(search=BEAM, max_new_tokens=256)


def data() -> Data:
  pieces = Trained(settings=SentencePieces(vocab_size=32_000, max_texts=1_000_000), corpus=TRAIN, texts=("en", "de"))
  side = lambda name, text: Tokens(name=name, text=text, tokenizer=pieces, eos=True)
  test = {"newstest2014": TFDS(name="fieldwork_wmt14_de_en", split="test")}
  return pairs(TRAIN, test, (side("source", "en"), side("targets", "de")), batch_size=256, longer="drop",
               lengths=((32, 32), (64, 64), (128, 128), (256, 256)))


def experiment() -> Experiment:
  bleu = Bleu()
  return Experiment(
      paper=Paper("Flax, examples/wmt", "The Flax authors", 2020, "repository", "https://github.com/google/flax"),
      data=data(), seeds=(0,), model=transformer_2017.make(dim=1024, num_layers=6, num_heads=16, mlp_dim=4096, norm_first=True),
      task=TextToText(vocab_size=32_000, start_id=0, end_id=1, pad_id=0, label_smoothing=0.1, writing=Writing(
          decoding=DECODING, source="en", against=(Against(metric=bleu, reference="de"),))),
      optimizer=AdamW(learning_rate=0.0625 / 1000**0.5, b2=0.98, eps=1e-9, weight_decay=0.0,
                      schedule=InverseSqrt(warmup=Duration(1000))),
      training=Training(steps=Duration(100_000), precision="bfloat16"),
      targets=(Target(metric="newstest2014/bleu", criterion=within(25.69, 0.5), published=25.69, kind="number",
                      signature=f"{bleu.metrics['bleu'].signature}|{DECODING.signature}", place="README, eight V100",
                      says="BLEU on newstest2014"),))
