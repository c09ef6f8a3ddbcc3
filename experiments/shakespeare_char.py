"""nanoGPT's character model of Shakespeare, in the form for a CPU. A README, not a paper: 1.88 nats a character.

  python launch.py --experiment=shakespeare_char --data_dir=DATA

About 3 minutes on two CPU cores for both seeds. Expected: 1.89 nats a character over the whole last tenth of the text, which is
not trained on; the README takes the mean over 20 batches of it.
"""

import dataclasses

from research.config import Duration
from research.data.dataset import Data
from research.data.text import TextFile
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Trained
from research.data.windows import TokenWindows
from research.experiment import Experiment
from research.models import gpt2
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, within
from research.preprocessing.text.training import Characters
from research.tasks.language_modeling import LanguageModeling
from research.training.settings import Training

PAPER = Paper("nanoGPT, README", "Karpathy", 2022, "repository", "https://github.com/karpathy/nanoGPT")
WEIGHTS_ONLY = ((".*/(kernel|embedding)", 1.0), (".*", 0.0))  # no decay of scales and biases
TRAIN = TextFile(path="text/tiny_shakespeare/input.txt", end=0.9)


def data(*, length: int, batch_size: int) -> Data:
  """Windows at random places of the first nine tenths; of the last one every character once."""
  tokens = Tokens(name="inputs", text="text", tokenizer=Trained(settings=Characters(), corpus=TRAIN, texts=("text",)))
  windows = lambda source, stride: TokenWindows(
      source=Tokenized(source=source, features=(tokens,)), length=length, stride=stride)
  return Data(train=windows(TRAIN, 1), evaluation={"valid": windows(dataclasses.replace(TRAIN, begin=0.9, end=1.0), None)},
              batch_size=batch_size, replacement=True)


def model(*, dim: int, num_layers: int, num_heads: int, length: int, dropout: float) -> gpt2.Config:
  """GPT-2 without biases in its dense layers, and with the exact GELU."""
  made = gpt2.make(dim=dim, num_layers=num_layers, num_heads=num_heads, max_length=length, dropout=dropout)
  block = dataclasses.replace(made.decoder.block, bias=False, activation="gelu")
  return dataclasses.replace(made, decoder=dataclasses.replace(made.decoder, block=block))


def experiment() -> Experiment:
  return Experiment(
      paper=PAPER, data=data(length=64, batch_size=12), task=LanguageModeling(vocab_size=65, token="character"),
      model=model(dim=128, num_layers=4, num_heads=4, length=64, dropout=0.0),
      optimizer=AdamW(learning_rate=1e-3, b2=0.99, weight_decay=0.1, clip_norm=1.0, penalty_rules=WEIGHTS_ONLY,
                      schedule=Cosine(warmup=Duration(100), final=0.1)),
      training=Training(steps=Duration(2000)), seeds=(0, 1),
      targets=(Target(metric="valid/loss", criterion=within(1.89, 0.04), signature="nats/character", published=1.88,
                      kind="number", place="README, baby GPT", says="nats a character on the last tenth of the text"),))
