"""Every experiment on texts learns: its twin on generated sentences, with a network of its kind at a size for seconds."""

import dataclasses

import pytest
from etils import epath
from twins import twin

from research import command_line
from research.config import Duration
from research.experiment import Comparison, Experiment
from research.models import recurrent, text_cnn
from research.optimizers.adam import Adam
from research.pretrained.lora import LoRA
from research.tasks.classification import Classification
from research.tasks.extraction import Extraction
from research.tasks.language_modeling import LanguageModeling
from research.tasks.regression import Regression
from research.tasks.text_to_text import TextToText
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.sharding import Sharding
from research.workdir import Run

NAMES = ("aeslc_subjects", "agnews_bert", "agnews_encoder", "bbc_titles", "cnndm_bart", "cnndm_pegasus", "cnndm_t5_small",
         "glue_lora_roberta", "listops_transformer", "llama_8b", "multi30k_tutorial", "openwebtext_gpt2",
         "scitldr_abstractive", "sst2_text_cnn", "tatoeba_en_de", "tatoeba_short", "wmt14_ende_base", "wmt14_ende_big",
         "wmt16_scaling_nmt", "wmt17_flax_en_de", "xsum_bart", "xsum_pegasus")
QUICK = ("aeslc_subjects", "sst2_text_cnn")
DIM, TOKENS = 32, 300


def small(model):
  """The same kind of network, of one narrow layer without dropout."""
  if isinstance(model, LoRA):
    return dataclasses.replace(model, model=small(model.model))
  if isinstance(model, text_cnn.Config):
    return dataclasses.replace(model, vocab_size=TOKENS, dim=DIM, num_filters=8, dropout=0.0)
  if isinstance(model, recurrent.Config):
    return dataclasses.replace(model, width=DIM, dropout=0.0, source_size=TOKENS)

  def stack(config):
    block = dataclasses.replace(
        config.block, dim=DIM, num_heads=2, num_kv_heads=None, head_dim=None, mlp_dim=2 * DIM, dropout=0.0,
        attention_dropout=0.0, mlp_dropout=0.0, init="lecun_normal", init_scale=1.0)
    return dataclasses.replace(config, num_layers=1, block=block, dropout_last=0.0, remat="none")

  changes = {name: stack(getattr(model, name)) for name in ("encoder", "decoder") if hasattr(model, name)}
  changes |= {name: 0.0 for name in ("pool_dropout", "head_dropout") if hasattr(model, name)}
  changes |= {"vocab_size": TOKENS} if hasattr(model, "vocab_size") else {}
  changes |= {"source_size": TOKENS} if getattr(model, "source_size", None) else {}
  changes |= {"output_scale": DIM**-0.5} if getattr(model, "output_scale", 1.0) != 1 else {}
  embedding = dataclasses.replace(model.embedding, dim=DIM, dropout=0.0)
  if embedding.scaled:  # by √dim: its deviation is that of the width
    embedding = dataclasses.replace(embedding, deviation=DIM**-0.5)
  return dataclasses.replace(model, embedding=embedding, **changes)


def learned(run: Experiment, folder, steps: int = 100) -> tuple[float, float]:
  """A metric after the twin's training, and the value that it must be above."""
  task = run.task
  match task:
    case TextToText():
      sizes = {"vocab_size": TOKENS, "source_size": task.source_size and TOKENS}
      task, name, wanted = dataclasses.replace(task, **sizes, writing=None, label_smoothing=0.0), "accuracy", 0.6
    case LanguageModeling():  # six words, and ends
      task, name, wanted = dataclasses.replace(task, vocab_size=TOKENS), "accuracy", 0.6
    case Extraction():
      name, wanted = "likeness", 0.8
    case Classification():
      name, wanted = "accuracy", 1.5 / task.num_classes
    case Regression():
      name, wanted = "pearson", 0.6
    case _:
      raise TypeError(task)
  num_classes = 6 if isinstance(run.task, Regression) else run.task.num_outputs  # or six different numbers
  data = dataclasses.replace(twin(run.data, num_classes), batch_size=32, eval_batch_size=32)
  if data.buckets is not None:  # one shape is compiled sooner than several
    longest = tuple(min(length, 48) for length in data.buckets.lengths[-1])
    data = dataclasses.replace(data, buckets=dataclasses.replace(data.buckets, lengths=(longest,)))
  experiment = dataclasses.replace(
      run, data=data, task=task, model=small(run.model), pretrained=None, targets=(),
      optimizer=Adam(learning_rate=1e-2, clip_norm=1.0),
      training=Training(steps=Duration(steps), evaluate_every=Duration(0), save_every=Duration(0), sharding=Sharding(data=1)))
  with Interruption() as interruption:
    found = experiment.measure(0, Run(epath.Path(folder), None, interruption))
  return found.metrics[f"{next(iter(data.evaluation))}/{name}"], wanted


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.heavy) for n in NAMES])
def test_the_twin_learns(name, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  experiment = command_line.load(command_line.experiments()[name]).experiment()
  runs = experiment.members if isinstance(experiment, Comparison) else {"": experiment}
  for member, run in runs.items():
    value, wanted = learned(run, tmp_path / f"run{member}")
    assert value > wanted, member
