"""A small Transformer on 162,443 short sentences, English to German.

Vaswani et al. 2017 have the network; no paper has a figure on this split, so that the criterion is our own.

  python launch.py --experiment=tatoeba_en_de --data_dir=DATA

84 minutes on one CPU core. Expected: at least 25 BLEU on 3,061 test sentences, greedy (34 were measured); none of them, on
either side, is trained on. A sentence has several right translations, of which the files give each as a pair of its own.
"""

from research.config import Duration
from research.data.sources import JSONL
from research.data.text_data import pairs
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.decoding.settings import Decoding
from research.experiment import Experiment
from research.metrics.translation import Bleu, Chrf
from research.models import transformer_2017
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.preprocessing.text.training import SentencePieces
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

DECODING = Decoding(max_new_tokens=48)


def run(model, *, vocab_size: int, batch_size: int, lengths: tuple[tuple[int, int], ...], rate: float, epochs: int, bleu: float,
        says: str, train: int | None = None, valid: int | None = None, test: int | None = None) -> Experiment:
  """One vocabulary for both languages; of each split the first so many examples, or all."""
  split = lambda name, limit: JSONL(path=f"text/tatoeba_en_de/{name}.jsonl.gz", limit=limit)
  corpus, text = split("train", train), lambda metric: Against(metric=metric, reference="de")
  pieces = Trained(settings=SentencePieces(vocab_size=vocab_size), corpus=corpus, texts=("en", "de"))
  side = lambda name, text: Tokens(name=name, text=text, tokenizer=pieces, eos=True)
  return Experiment(
      paper=Paper("Attention Is All You Need", "Vaswani et al.", 2017, "NeurIPS", "https://arxiv.org/abs/1706.03762"),
      data=pairs(corpus, {"valid": split("valid", valid), "test": split("test", test)},
                 (side("source", "en"), side("targets", "de")), batch_size=batch_size, lengths=lengths, longer="drop"),
      model=model, seeds=(0,),
      task=TextToText(vocab_size=vocab_size, start_id=0, end_id=1, pad_id=0, label_smoothing=0.1, writing=Writing(
          decoding=DECODING, source="en", against=(text(Chrf()), text(Bleu())))),
      optimizer=Adam(learning_rate=rate, b2=0.98, clip_norm=1.0, schedule=Cosine(warmup=Duration(5, "%"))),
      training=Training(steps=Duration(epochs, "ep"), evaluate_every=Duration(1, "ep")),
      targets=(Target(metric="test/bleu", criterion=at_least(bleu), says=says,
                      signature=f"{Bleu().metrics['bleu'].signature}|greedy|max:48"),))


def experiment() -> Experiment:
  """Some 2,500 tokens of each language a step."""
  model = transformer_2017.make(dim=192, num_layers=3, num_heads=4, mlp_dim=512, norm_first=True)
  return run(model, vocab_size=8000, batch_size=60, lengths=((8, 8), (12, 12), (16, 18), (48, 48)), rate=2e-3, epochs=4,
             bleu=25, says="an hour and a half of one core suffices for everyday sentences")
