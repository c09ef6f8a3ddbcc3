"""Wu, Kong, Bi, Li, Kao 2021, the text-only Transformer-Tiny: English to German captions, 41.02 BLEU of tokens on test 2016.

  python launch.py --experiment=multi30k_tiny --data_dir=DATA

Some 3 hours on two CPU cores, minutes on a GPU; needs the extra `translation`. Expected: 41 tokenized BLEU, lower case, with a
beam of 5 and the mean of the last ten checkpoints. sacreBLEU's own of detokenized text stands beside it.
"""

from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.sources import JSONL
from research.data.text import Transformed
from research.data.tokenized import Tokenized, Tokens
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
from research.tasks.text_to_text import Against, TextToText, Writing
from research.training.settings import Training

GERMAN = Moses(text="de", to="de_tokens", language="de", lower=True)


def source(split: str) -> Transformed:
  """Captions, and their lower-case tokens by Moses."""
  return Transformed(source=JSONL(path=f"text/multi30k/{split}.jsonl.gz"),
                     transforms=(Moses(text="en", to="en_tokens", language="en", lower=True), GERMAN))


def data() -> Data:
  """One vocabulary of 10,000 merges for both languages; 8,176 tokens of each language a step."""
  subwords = Trained(settings=Subwords(num_merges=10_000), corpus=source("train"), texts=("en_tokens", "de_tokens"))
  features = (Tokens(name="source", text="en_tokens", tokenizer=subwords, eos=True),
              Tokens(name="targets", text="de_tokens", tokenizer=subwords, eos=True))
  captions = lambda split: Tokenized(source=source(split), features=features)
  return Data(train=captions("train"),
              evaluation={"valid": captions("val"), "test2016": captions("test_2016_flickr"),
                          "test2017": captions("test_2017_flickr")},
              buckets=Buckets(features=("source", "targets"), lengths=((14, 14), (18, 18), (28, 28), (56, 56))),
              batch_size=146, eval_batch_size=64)


def experiment() -> Experiment:
  tokens = Bleu(tokenize="none", tokens="Moses, lower case, escaped, subwords joined")
  writing = Writing(
      decoding=Decoding(search=Beam(num_beams=5, early_stopping=True), max_new_tokens=64), source="en",
      against=(Against(metric=tokens, reference="de_tokens"),
               Against(metric=Bleu(lowercase=True), reference="de", detokenize=GERMAN),
               Against(metric=Chrf(), reference="de", detokenize=GERMAN)))
  return Experiment(
      paper=Paper("Good for Misconceived Reasons: An Empirical Revisiting on the Need for Visual Context in Multimodal Machine "
                  "Translation", "Wu, Kong, Bi, Li, Kao", 2021, "ACL", "https://arxiv.org/abs/2105.14462"),
      data=data(), model=transformer_2017.transformer_tiny(),
      task=TextToText(vocab_size=9720, start_id=2, end_id=2, pad_id=0, label_smoothing=0.1, writing=writing),
      optimizer=Adam(learning_rate=5e-3, b2=0.98, clip_norm=25.0, schedule=InverseSqrt(warmup=Duration(2000))),
      training=Training(steps=Duration(8000), evaluate_every=Duration(400), save_every=Duration(100), keep_last=10,
                        evaluate_with="checkpoints"),
      seeds=(0,),
      targets=(Target(metric="test2016/tokenized_bleu", criterion=within(41.02, 1.0), published=41.02, kind="number",
                      signature="", place="README-baseline.md", says="tokenized BLEU on test 2016"),))
