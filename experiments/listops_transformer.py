"""A Transformer on ListOps, lists of digits worked out over 500 to 2,000 tokens: 36.37 %. NOT RUN: it needs an hour of a GPU.

Tay, Dehghani, Abnar, Shen, Bahri, Pham, Rao, Yang, Ruder, Metzler 2021, "Long Range Arena". The data are drawn here as their
generator draws them.

  python launch.py --experiment=listops_transformer

An hour on a GPU of 40 GB for three seeds, as estimated; weeks on a CPU. Expected: 36.37 % of 2,000 expressions, whose standard
error is 1.1 points; one answer for all would be right for 17 %. Their classifier has an inner layer of 1,024 ReLU units, here
512 with tanh, and they compute in float32.
"""

from research.config import Duration
from research.data.list_ops import ListOps
from research.data.text_data import labeled
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.experiment import Experiment
from research.models import text_encoder
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import InverseSqrt
from research.paper import Paper, Target, at_most, within
from research.preprocessing.text.training import Words
from research.tasks.classification import Classification
from research.training.settings import Training

TRAIN = ListOps(split="train")


def experiment() -> Experiment:
  """A begin mark stands first, and is what the classifier looks at; the rate's peak is 0.05/√1000."""
  tokens = Tokens(name="inputs", text="text", bos=True, tokenizer=Trained(settings=Words(), corpus=TRAIN))
  block = BlockConfig(dim=512, num_heads=8, mlp_dim=1024, activation="gelu_tanh", qkv_bias=False, dropout=0.1, mlp_dropout=0.1,
                      norm_eps=1e-6, init="glorot_uniform", implementation="chunked")
  target = lambda criterion, says, **more: Target(
      metric="test/accuracy", criterion=criterion, signature="top1", says=says, **more)
  return Experiment(
      paper=Paper("Long Range Arena", "Tay, Dehghani, Abnar, Shen, Bahri, Pham, Rao, Yang, Ruder, Metzler", 2021, "ICLR",
                  "https://arxiv.org/abs/2011.04006"),
      data=labeled(TRAIN, {split: ListOps(split=split) for split in ("validation", "test")}, tokens, batch_size=32,
                   lengths=(2000,), eval_batch_size=32),
      task=Classification(num_classes=10), seeds=(0, 1, 2),
      model=text_encoder.Config(
          embedding=EmbeddingConfig(dim=512, positions="sinusoidal", deviation=1.0, dropout=0.1),
          encoder=StackConfig(num_layers=4, block=block, causal=False), vocab_size=19),
      optimizer=AdamW(learning_rate=0.05 / 1000**0.5, b2=0.98, eps=1e-9, weight_decay=0.1,
                      schedule=InverseSqrt(warmup=Duration(1000))),
      training=Training(steps=Duration(5000), precision="bfloat16"),
      targets=(target(within(0.3637, 0.01), "36.37 % of the test expressions", published=0.3637, kind="number", place="README"),
               target(at_most(0.2), "no better than one answer for all", control=True)))
