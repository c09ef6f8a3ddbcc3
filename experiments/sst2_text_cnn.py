"""Kim 2014, a convolutional network for sentences on SST-2, its vectors begun at random: 82.7 % of the test set.

  python launch.py --experiment=sst2_text_cnn --data_dir=DATA

About 8 minutes on two CPU cores for three seeds. Expected: at least 80 % of GLUE's 872 validation sentences. Adam is here what
Adadelta is there, and nothing limits the norm of the last layer's weights.
"""

from research.config import Duration
from research.data.sources import JSONL
from research.data.text_data import labeled
from research.data.tokenized import Tokens
from research.data.vocabulary import Trained
from research.experiment import Experiment
from research.models import text_cnn
from research.optimizers.adam import Adam
from research.optimizers.schedule import Linear
from research.paper import Paper, Target, at_least, within
from research.preprocessing.text.training import Words
from research.tasks.classification import Classification
from research.training.settings import Training

TRAIN = JSONL(path="text/sst2/train.jsonl.gz")


def experiment() -> Experiment:
  """67,349 phrases of 3 to 52 words; the validation split has whole sentences only."""
  tokens = Tokens(name="inputs", text="text", tokenizer=Trained(settings=Words(), corpus=TRAIN))
  target = lambda criterion, says, **more: Target(
      metric="validation/accuracy", criterion=criterion, says=says, signature="top1", **more)
  return Experiment(
      paper=Paper("Convolutional Neural Networks for Sentence Classification", "Kim", 2014, "EMNLP",
                  "https://arxiv.org/abs/1408.5882"),
      data=labeled(TRAIN, {"validation": JSONL(path="text/sst2/validation.jsonl.gz")}, tokens, batch_size=48,
                   lengths=(12, 24, 56)),
      model=text_cnn.Config(vocab_size=14_820), seeds=(0, 1, 2),
      task=Classification(num_classes=2, extra_metrics=("macro_f1", "matthews_correlation")),
      optimizer=Adam(learning_rate=5e-4, clip_norm=3.0, schedule=Linear(warmup=Duration(5, "%"))),
      training=Training(steps=Duration(3, "ep"), evaluate_every=Duration(1, "ep")),
      targets=(target(at_least(0.80), "one layer of windows of three to five words tells praise from blame"),
               target(within(0.827, 0.02), "82.7 % with vectors begun at random", published=0.827, kind="number",
                      place="Table 2, CNN-rand", not_comparable="GLUE's validation sentences here, the test set there")))
