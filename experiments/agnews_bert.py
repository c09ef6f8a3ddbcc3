"""BERT-base, fine-tuned on AG News from a given folder of weights. NOT RUN: it needs the weights.

Sun, Qiu, Xu, Huang 2019, "How to Fine-Tune BERT for Text Classification?": an error of 5.25 %.

  python launch.py --experiment=agnews_bert --data_dir=DATA

Some 3 hours on two CPU cores, minutes on a GPU. DATA holds weights/bert-base-uncased as Hugging Face has it (config.json,
model.safetensors, tokenizer.json). Expected: about 92 %, from 10,001 of the 120,000 texts that the paper has.
"""

from experiments import agnews_encoder
from research.config import Duration
from research.data.vocabulary import Stored
from research.experiment import Experiment
from research.models import bert
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Linear
from research.paper import Paper, Target, at_least, within
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.training.settings import Training

FOLDER = "weights/bert-base-uncased"


def experiment() -> Experiment:
  target = lambda criterion, says, **more: Target(
      metric="test/accuracy", criterion=criterion, says=says, signature="top1", **more)
  return Experiment(
      paper=Paper("How to Fine-Tune BERT for Text Classification?", "Sun, Qiu, Xu, Huang", 2019, "CCL",
                  "https://arxiv.org/abs/1905.05583"),
      data=agnews_encoder.data(Stored(path=FOLDER), bos=True, eos=True), model=bert.bert_base(), seeds=(0,),
      pretrained=Pretrained(path=FOLDER, names="hf", fresh=("head/.*",)),
      task=Classification(num_classes=4, extra_metrics=("macro_f1",)),
      optimizer=AdamW(learning_rate=2e-5, weight_decay=0.01, clip_norm=1.0, penalty_rules=agnews_encoder.WEIGHTS_ONLY,
                      schedule=Linear(warmup=Duration(10, "%"))),
      training=Training(steps=Duration(4, "ep"), evaluate_every=Duration(1, "ep")),
      targets=(target(at_least(0.90), "what was learned from other texts halves the errors of few of these"),
               target(within(0.9475, 0.005), "94.75 %", published=0.9475, kind="number", place="Table 8, BERT-FiT",
                      not_comparable="a twelfth of the training texts, without titles; part of the test set")))
