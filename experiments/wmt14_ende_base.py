"""Vaswani et al. 2017, Transformer base, WMT 2014 English to German: 27.3 BLEU. NOT RUN: it needs the corpus and GPUs.

  python launch.py --experiment=wmt14_ende_base --data_dir=DATA

12 hours on eight P100 (GPU). Expected: that, of Moses' tokens with compounds split, beam 4, the mean of five checkpoints.
DATA holds fieldwork_wmt14_de_en (see research.data.builders.prepare). The authors have subwords of their own.
"""

from research.config import Duration
from research.data.text import Transformed
from research.data.text_data import pairs
from research.data.tfds import TFDS
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.metrics.translation import Bleu
from research.models import transformer_2017
from research.optimizers.adam import Adam
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper, Target, within
from research.preprocessing.text.moses import Moses
from research.preprocessing.text.training import Subwords
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

PAPER = Paper("Attention Is All You Need", "Vaswani et al.", 2017, "NeurIPS", "https://arxiv.org/abs/1706.03762")
MOSES = tuple(Moses(text=name, to=f"{name}_tokens", language=name, split_hyphens=True) for name in ("en", "de"))
TOKENS = Bleu(tokenize="none", tokens="Moses, compounds split, escaped, subwords joined")
BEAM = Beam(num_beams=4, length_penalty="gnmt", alpha=0.6, early_stopping="never")
DECODING = Decoding(search=BEAM, max_new_tokens=50, max_per_input=1.0)
SIGNATURE = f"{TOKENS.metrics['tokenized_bleu'].signature}|{DECODING.signature}"


def data(*, year: int = 14, num_merges: int = 37_000, batch_size: int = 128):
  texts = lambda year, split: Transformed(source=TFDS(name=f"fieldwork_wmt{year}_de_en", split=split), transforms=MOSES)
  subwords = Trained(settings=Subwords(num_merges=num_merges), corpus=texts(year, "train"), texts=("en_tokens", "de_tokens"))
  features = tuple(Tokens(name=name, text=text, tokenizer=subwords, eos=True)
                   for name, text in (("source", "en_tokens"), ("targets", "de_tokens")))
  return pairs(texts(year, "train"), {"newstest2014": texts(14, "test")}, features, batch_size=batch_size, longer="drop",
               lengths=((16, 16), (32, 32), (64, 64), (96, 96), (192, 192)))


def run(model, data, *, rate: float, steps: int, checkpoints: int, published: float, save: int = 1500) -> Experiment:
  against = (Against(metric=TOKENS, reference="de_tokens"), Against(metric=Bleu(), reference="de", detokenize=MOSES[1]))
  return Experiment(
      paper=PAPER, data=data, model=model, seeds=(0,),
      task=TextToText(vocab_size=40_000, start_id=2, end_id=2, pad_id=0, label_smoothing=0.1, writing=Writing(
          decoding=DECODING, source="en", against=against)),
      optimizer=Adam(learning_rate=rate, b2=0.98, eps=1e-9, schedule=InverseSqrt(warmup=Duration(4000))),
      training=Training(steps=Duration(steps), precision="bfloat16", save_every=Duration(save), keep_last=checkpoints,
                        evaluate_with="checkpoints"),
      targets=(Target(metric="newstest2014/tokenized_bleu", criterion=within(published, 0.5), published=published,
                      kind="number", signature=SIGNATURE, place="Table 2", says="BLEU of tokens, compounds split"),))


def experiment() -> Experiment:
  return run(transformer_2017.transformer_base(), data(), rate=7e-4, steps=100_000, checkpoints=5, published=27.3)
