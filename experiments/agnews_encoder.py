"""A small Transformer encoder on AG News, from scratch and from 10,001 of its 120,000 training texts.

Zhang, Zhao, LeCun 2015: 92.36 % by words in bags with TF-IDF, 90.49 % by a network of characters, from all of them with titles.

  python launch.py --experiment=agnews_encoder --data_dir=DATA

About 6 minutes on two CPU cores for two seeds. Expected: at least 85 % of the 6,662 test texts that are here.
"""

from research.config import Duration
from research.data.dataset import Data
from research.data.sources import JSONL
from research.data.text_data import labeled
from research.data.tokenized import Tokens
from research.data.vocabulary import TokenizerSource, Trained
from research.experiment import Experiment
from research.models import text_encoder
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Linear
from research.paper import Paper, Target, at_least, within
from research.preprocessing.text.training import BytePairs
from research.tasks.classification import Classification
from research.training.settings import Training

TRAIN = JSONL(path="text/ag_news/train.jsonl.gz")
NEWS = Paper("Character-level Convolutional Networks for Text Classification", "Zhang, Zhao, LeCun", 2015, "NeurIPS",
             "https://arxiv.org/abs/1509.01626")
WEIGHTS_ONLY = ((".*/(kernel|embedding)", 1.0), (".*", 0.0))  # no decay of scales and biases


def data(tokenizer: TokenizerSource, **marks) -> Data:
  """The texts without their titles, cut after 128 tokens."""
  tokens = Tokens(name="inputs", text="text", tokenizer=tokenizer, max_length=128, **marks)
  return labeled(TRAIN, {"test": JSONL(path="text/ag_news/test.jsonl.gz")}, tokens, batch_size=16, lengths=(48, 64, 128))


def experiment() -> Experiment:
  target = lambda criterion, says, **more: Target(
      metric="test/accuracy", criterion=criterion, says=says, signature="top1", **more)
  return Experiment(
      paper=NEWS, data=data(Trained(settings=BytePairs(vocab_size=8000), corpus=TRAIN)), seeds=(0, 1),
      task=Classification(num_classes=4, extra_metrics=("macro_f1",)),
      model=text_encoder.make(vocab_size=8000, dim=128, num_layers=2, num_heads=4, mlp_dim=512, max_length=128, dropout=0.2,
                              head="mean"),
      optimizer=AdamW(learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0, penalty_rules=WEIGHTS_ONLY,
                      schedule=Linear(warmup=Duration(10, "%"))),
      training=Training(steps=Duration(8, "ep"), evaluate_every=Duration(2, "ep")),
      targets=(target(at_least(0.85), "two layers that nobody trained before learn four topics from 10,001 texts"),
               target(within(0.8964, 0.02), "89.64 % by words in bags with TF-IDF", published=0.8964, kind="number",
                      place="Table 4", not_comparable="a twelfth of the training texts, without titles; part of the test set")))
