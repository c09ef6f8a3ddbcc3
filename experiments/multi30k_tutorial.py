"""A Transformer and a recurrent network with attention on Multi30k, German to English, as a tutorial has them.

Trevett, pytorch-seq2seq: a perplexity of 5.316 a word and 36.52 BLEU for the Transformer, 23.2 and 28.11 for GRUs.

  python launch.py --experiment=multi30k_tutorial --data_dir=DATA

45 minutes on one CPU core for both; needs the extra `translation`. Expected: 5.3 and 36 by the Transformer on test 2016,
spaCy's words, lower case (7,851 and 5,892; the tutorial's 7,853 and 5,893). Its GRU sees both ways, ours one.
"""

from research.config import Duration
from research.data.sources import JSONL
from research.data.text import Transformed
from research.data.text_data import pairs
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.decoding.settings import Decoding
from research.experiment import Comparison, Difference, Experiment
from research.metrics.translation import Bleu
from research.models import recurrent, transformer_2017
from research.optimizers.adam import Adam
from research.paper import Paper, Target, at_least, within
from research.preprocessing.text.spacy_words import SpacyWords
from research.preprocessing.text.training import Words
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

WORDS = tuple(SpacyWords(text=name, to=f"{name}_words", language=name, lower=True) for name in ("de", "en"))
TOKENS, DECODING = Bleu(tokenize="none", tokens="spaCy, lower case"), Decoding(max_new_tokens=50)


def member(model, rate: float) -> Experiment:
  captions = lambda split: Transformed(source=JSONL(path=f"text/multi30k/{split}.jsonl.gz"), transforms=WORDS)
  side = lambda name, text, bos: Tokens(name=name, text=text, bos=bos, eos=True, tokenizer=Trained(
      settings=Words(min_count=2), corpus=captions("train"), texts=(text,)))
  features = (side("source", "de_words", True), side("targets", "en_words", False))
  data = pairs(captions("train"), {"valid": captions("val"), "test2016": captions("test_2016_flickr")}, features, batch_size=64,
               lengths=((16, 16), (24, 24), (48, 48)))
  return Experiment(
      data=data, model=model, optimizer=Adam(learning_rate=rate, clip_norm=1.0),
      task=TextToText(vocab_size=5900, source_size=7900, start_id=1, end_id=2, pad_id=0, token="word",
                      writing=Writing(decoding=DECODING, source="de", against=(Against(metric=TOKENS, reference="en_words"),))),
      training=Training(steps=Duration(10, "ep"), best_metric="valid/loss", evaluate_with="best"))


def experiment() -> Comparison:
  transformer = transformer_2017.make(dim=256, num_layers=3, num_heads=8, mlp_dim=512, source_size=7900, dropout=0.1)
  gru = recurrent.Config(cell="gru", width=256, num_layers=1, attention=True, dropout=0.5, source_size=7900)
  gap, bleu = "test2016/tokenized_bleu", f"{TOKENS.metrics['tokenized_bleu'].signature}|{DECODING.signature}"
  number = lambda name, value, tolerance, signature: Target(
      metric=f"transformer/test2016/{name}", criterion=within(value, tolerance), published=value, kind="number",
      signature=signature, place="notebook 6", says=f"{name.replace('_', ' ')} of the Transformer on test 2016")
  return Comparison(
      members={"transformer": member(transformer, 5e-4), "recurrent": member(gru, 1e-3)}, seeds=(0,),
      differences=(Difference(of="transformer", minus="recurrent", metric=gap),),
      paper=Paper("pytorch-seq2seq", "Trevett", 2018, "repository", "https://github.com/bentrevett/pytorch-seq2seq"),
      targets=(number("perplexity_per_word", 5.316, 0.3, "exp of nats/word"), number("tokenized_bleu", 36.52, 1.5, bleu),
               Target(metric=f"transformer - recurrent/{gap}", criterion=at_least(0), signature=bleu, says="it is better")))
