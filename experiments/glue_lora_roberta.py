"""LoRA on RoBERTa-base: eight tasks of GLUE, 87.2 on average. NOT RUN: it needs the weights, the data sets, days of a GPU.

  python launch.py --experiment=glue_lora_roberta --data_dir=DATA

100 hours on a GPU. Expected, by Hu et al. 2022 on the validation sets: below (full fine-tuning: 86.4 on average). DATA holds
weights/roberta-base and fieldwork_glue_* (see research.data.builders.prepare). The paper begins MRPC, RTE, STS-B with MNLI's.
"""

from research.config import Duration
from research.data.text_data import labeled
from research.data.tfds import TFDS
from research.data.tokenized import Tokens
from research.data.vocabulary import Stored
from research.experiment import Comparison, Experiment
from research.models import roberta
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Linear
from research.paper import Paper, Target, within
from research.pretrained.lora import ADAPTERS, LoRA
from research.pretrained.weights import Pretrained
from research.tasks.classification import Classification
from research.tasks.regression import Regression
from research.training.settings import Training

PAPER = Paper("LoRA: Low-Rank Adaptation of Large Language Models", "Hu et al.", 2022, "ICLR", "https://arxiv.org/abs/2106.09685")
FOLDER, FRESH = "weights/roberta-base", (ADAPTERS, "(pooler|head)/.*")
# Texts, classes (1: a number), metric, its published value, epochs, batch size, rate.
TASKS = {"mnli": (("premise", "hypothesis"), 3, "accuracy", 0.875, 30, 16, 5e-4),
         "sst2": (("sentence", None), 2, "accuracy", 0.951, 60, 16, 5e-4),
         "mrpc": (("sentence1", "sentence2"), 2, "accuracy", 0.897, 30, 16, 4e-4),
         "cola": (("sentence", None), 2, "matthews_correlation", 0.634, 80, 32, 4e-4),
         "qnli": (("question", "sentence"), 2, "accuracy", 0.933, 25, 32, 4e-4),
         "qqp": (("question1", "question2"), 2, "accuracy", 0.908, 25, 16, 5e-4),
         "rte": (("sentence1", "sentence2"), 2, "accuracy", 0.866, 80, 32, 5e-4),
         "stsb": (("sentence1", "sentence2"), 1, "pearson", 0.915, 40, 16, 4e-4)}


def member(name: str, fields, num_classes: int, epochs, batch_size, learning_rate) -> Experiment:
  tokens = Tokens(name="inputs", text=fields[0], pair=fields[1], separators=2, tokenizer=Stored(path=FOLDER), bos=True,
                  eos=True, max_length=512)
  texts = lambda split: TFDS(name=f"fieldwork_glue_{name}", split=split)
  return Experiment(
      data=labeled(texts("train"), {"validation": texts("validation_matched" if name == "mnli" else "validation")}, tokens,
                   batch_size=batch_size, lengths=(128, 512), answers="targets" if num_classes == 1 else "labels"),
      task=(Regression(extra_metrics=("pearson", "spearman")) if num_classes == 1 else
            Classification(num_classes=num_classes, extra_metrics=("matthews_correlation",))),
      model=LoRA(model=roberta.roberta_base(), alpha=8.0), pretrained=Pretrained(path=FOLDER, names="hf", fresh=FRESH),
      optimizer=AdamW(learning_rate=learning_rate, weight_decay=0.1, schedule=Linear(warmup=Duration(6, "%")),
                      learning_rate_rules=(*((names, 1.0) for names in FRESH), (".*", 0.0))),
      training=Training(steps=Duration(epochs, "ep")))


def experiment() -> Comparison:
  target = lambda name, metric, value: Target(
      metric=f"{name}/validation/{metric}", criterion=within(value, 0.01), published=value, kind="number",
      signature="" if metric == "pearson" else "top1", place="Table 2", says=f"{name}: {metric} {value}")
  return Comparison(
      paper=PAPER, members={name: member(name, texts, num, *how) for name, (texts, num, _, _, *how) in TASKS.items()},
      targets=tuple(target(name, metric, value) for name, (_, _, metric, value, *_) in TASKS.items()))
