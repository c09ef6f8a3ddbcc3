"""Subject lines for e-mail: a small encoder that learns which words in a row of a mail to take.

Zhang, Tetreault 2019, of the test split: 23.67/10.29/23.44. PEGASUS (Zhang et al. 2020): 37.69/21.85/36.84; a Transformer
trained from scratch 15.04/7.39/14.93, no better than the first line of the mail.

  python launch.py --experiment=aeslc_subjects --data_dir=DATA

About 8 minutes on two CPU cores for two seeds. Expected: above the first line (16.59/7.39/15.16 on the dev split, which is what
is here) in ROUGE-1, 2 and L; what people wrote in the author's place scores 24.68/10.39/23.37. See aeslc_baselines.
"""

from research.config import Duration
from research.data.sources import JSONL
from research.data.text import Transformed
from research.data.text_data import pairs
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.decoding.spans import BestSpan
from research.experiment import Experiment
from research.metrics.summarization import Rouge
from research.models import text_encoder
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_least
from research.preprocessing.text.strings import Separate
from research.preprocessing.text.training import BytePairs
from research.tasks.extraction import Extraction
from research.tasks.writing import Against, Writing
from research.training.settings import Training

SPANS, ROUGE, SIZE, LENGTH = BestSpan(max_tokens=12), Rouge(), 8000, 96


def run(folder: str, split: str, text: str, summary: str, paper: Paper, baseline: tuple[float, ...], says: str,
        epochs: int = 4) -> Experiment:
  """Reads the first 96 tokens of each text, in lower case; must do better than a baseline."""
  texts = lambda name: Transformed(source=JSONL(path=f"text/{folder}/{name}.jsonl.gz"), transforms=(
      Separate(text=text, to="words"), Separate(text=summary, to="summary_words", signs=False)))
  pieces = Trained(settings=BytePairs(vocab_size=SIZE), corpus=texts("train"), texts=("words", "summary_words"))
  side = lambda name, words, most: Tokens(name=name, text=words, tokenizer=pieces, max_length=most)
  both = (side("inputs", "words", LENGTH), side("targets", "summary_words", 24))
  target = lambda kind, value: Target(metric=f"{split}/{kind}", criterion=at_least(value), says=f"{says}, {kind}: {value}",
                                      signature=f"{ROUGE.metrics[kind].signature}|{SPANS.signature}")
  return Experiment(
      paper=paper, targets=tuple(map(target, ROUGE.types, baseline)), seeds=(0, 1),
      data=pairs(texts("train"), {split: texts(split)}, both, batch_size=32, lengths=((48, 24), (LENGTH, 24))),
      model=text_encoder.make(vocab_size=SIZE, dim=96, num_layers=1, num_heads=4, mlp_dim=384, max_length=LENGTH, dropout=0.2,
                              head="each"),
      task=Extraction(writing=Writing(decoding=SPANS, against=(Against(metric=ROUGE, reference=summary),))),
      optimizer=AdamW(learning_rate=2e-3, weight_decay=0.05, clip_norm=1.0, schedule=Cosine(warmup=Duration(10, "%"))),
      training=Training(steps=Duration(epochs, "ep"), evaluate_every=Duration(25, "%")))


def experiment() -> Experiment:
  return run("aeslc", "dev", "body", "subject", Paper("This Email Could Save Your Life", "Zhang, Tetreault", 2019, "ACL",
                                                      "https://arxiv.org/abs/1906.03497"),
             (16.59, 7.39, 15.16), "better than the first line of the mail")
