"""Transformer-Tiny on Multi30k, English to German. NOT RUN in full: some 3 hours on a CPU.

Wu, Kong, Bi, Li, Kao 2021, the text-only baseline: 41.02 BLEU of tokens on test 2016.

  python launch.py --experiment=multi30k_tiny --data_dir=DATA

3 hours on 2 CPU cores, minutes on a GPU; needs the extra `translation`. Expected: 41.0, lower case, beam 5, the mean of ten
checkpoints; sacreBLEU's BLEU and chrF beside it. With --training.steps=2200 (2.4 hours of one core): 36.6, not comparable.
"""

from research.config import Duration
from research.data.dataset import Data
from research.data.sources import JSONL
from research.data.text import Transformed
from research.data.text_data import pairs
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.metrics.translation import Bleu, Chrf
from research.models import transformer_2017
from research.optimizers.adam import Adam
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper, Target, within
from research.preprocessing.text.moses import Moses
from research.preprocessing.text.training import Subwords
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

ENGLISH, GERMAN = (Moses(text=name, to=f"{name}_tokens", language=name, lower=True) for name in ("en", "de"))
TOKENS = Bleu(tokenize="none", tokens="Moses, lower case, escaped, subwords joined")
DECODING = Decoding(search=Beam(num_beams=5, early_stopping=True), max_new_tokens=64)


def data() -> Data:
  """One vocabulary of 10,000 merges for both languages; 8,176 tokens of each language a step."""
  captions = lambda split: Transformed(source=JSONL(path=f"text/multi30k/{split}.jsonl.gz"), transforms=(ENGLISH, GERMAN))
  subwords = Trained(settings=Subwords(num_merges=10_000), corpus=captions("train"), texts=("en_tokens", "de_tokens"))
  side = lambda name, text: Tokens(name=name, text=text, tokenizer=subwords, eos=True)
  others = {"valid": captions("val"), **{f"test{year}": captions(f"test_{year}_flickr") for year in (2016, 2017)}}
  return pairs(captions("train"), others, (side("source", "en_tokens"), side("targets", "de_tokens")), batch_size=146,
               lengths=((14, 14), (18, 18), (28, 28), (56, 56)))


def experiment() -> Experiment:
  text = lambda metric: Against(metric=metric, reference="de", detokenize=GERMAN)
  against = (Against(metric=TOKENS, reference="de_tokens"), text(Bleu(lowercase=True)), text(Chrf()))
  return Experiment(
      paper=Paper("Good for Misconceived Reasons", "Wu, Kong, Bi, Li, Kao", 2021, "ACL", "https://arxiv.org/abs/2105.14462"),
      data=data(), model=transformer_2017.transformer_tiny(), seeds=(0,),
      task=TextToText(vocab_size=9720, start_id=2, end_id=2, pad_id=0, label_smoothing=0.1,
                      writing=Writing(decoding=DECODING, source="en", against=against)),
      optimizer=Adam(learning_rate=5e-3, b2=0.98, clip_norm=25.0, schedule=InverseSqrt(warmup=Duration(2000))),
      training=Training(steps=Duration(8000), evaluate_every=Duration(400), save_every=Duration(73), keep_last=10,
                        evaluate_with="checkpoints"),
      targets=(Target(metric="test2016/tokenized_bleu", criterion=within(41.02, 1.0), published=41.02, kind="number",
                      signature=f"{TOKENS.metrics['tokenized_bleu'].signature}|{DECODING.signature}",
                      place="README-baseline.md", says="tokenized BLEU on test 2016"),))
