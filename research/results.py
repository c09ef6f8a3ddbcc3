"""What an evaluation of all splits finds, with what is shown of it: from evaluators and figures to findings."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from research.augmentation import base as augmentation
from research.augmentation.noise import with_noise
from research.data.dataset import Opened
from research.data.examples import Examples
from research.data.loading import Loader
from research.evaluation.evaluator import Evaluation, evaluate
from research.evaluation.listening import listen
from research.evaluation.writing import Written, make_writer, write_all
from research.report import speech, text
from research.report.classification import evaluation_figures, feature_plane, first_filters, training_batch
from research.report.regression import predicted_against_true
from research.studies.base import Findings
from research.tasks.classification import Classification
from research.tasks.regression import Regression
from research.tasks.writing import WritingTask
from research.training.program import Network
from research.training.sharding import batch_sharding, replicated

_POINTS = 1000  # examples whose features are shown
_HEARD = 6  # utterances of a split that are shown, and if the page can carry them heard


def evaluate_splits(experiment, opened: Opened, data_dir, mesh: Mesh, net: Network, statistics: Callable, params,
                    buffers, between: Callable[[], None]) -> Findings:
  """Evaluates a network on every split, with bootstrap intervals, and figures: of classes, numbers, what a writer writes.

  Args:
    experiment: has `data` and `task`.
    opened: its data.
    data_dir: where they lie, or None.
    mesh: where parameters and batches are.
    net: the network.
    statistics: see make_statistics.
    params, buffers: of the network.
    between: called before each batch; may raise to break off.
  """
  task, data, findings, figures, writer = experiment.task, experiment.data, Findings(metrics={}), [], None
  metrics = {**task.metrics, **task.record_metrics}
  for split in opened.evaluation:
    batches = data.evaluating(opened, split, sharding=batch_sharding(mesh))
    evaluation = evaluate(statistics, params, buffers, batches, task, between)
    for name, interval in evaluation.intervals(task).items():
      findings.metrics[f"{split}/{name}"] = evaluation.values[name]
      findings.intervals[f"{split}/{name}"] = interval
      findings.signatures[f"{split}/{name}"] = metrics[name].signature
    if isinstance(task, Classification):
      figures += evaluation_figures(evaluation.records, _reader(data.transforms, opened.evaluation[split]), split=split,
                                    num_classes=task.num_classes, names=data.evaluation[split].class_names(data_dir))
    if isinstance(task, Regression) and task.num_outputs == 1:
      figures.append(predicted_against_true(evaluation.records, split))
    if getattr(task, "writing", None) is not None:
      writer = writer or make_writer(net, task, mesh)
      written = write_all(writer, params, buffers, data.evaluating(opened, split, sharding=batch_sharding(mesh)),
                          opened.evaluation[split], task, between)
      for name, metric in written.metrics.items():
        findings.metrics[f"{split}/{name}"] = written.values[name]
        findings.intervals[f"{split}/{name}"] = written.intervals[name]
        findings.signatures[f"{split}/{name}"] = metric.signature
      figures += _text_figures(written, evaluation, task, split)
      if hasattr(task, "noise_levels"):
        run = lambda batches, split=split, writer=writer: write_all(
            writer, params, buffers, batches, opened.evaluation[split], task, between)
        figures += _speech_figures(written, run, experiment, opened, split, mesh, net, params, buffers)
  return dataclasses.replace(findings, figures=tuple(figures))


def _reader(transforms, examples: Examples) -> Callable:
  """Numbers of examples to what they look like: texts as the tokenizer left them, or the network's inputs."""
  if "inputs" in examples.tokenizers:
    return lambda at: examples.tokenizers["inputs"].decode(list(examples.read(at)["inputs"]))
  loader = Loader(examples, transforms, None)
  return lambda at: loader.load(at, np.zeros_like(at))[0]["inputs"]


def _text_figures(written: Written, evaluation: Evaluation, task: WritingTask, split: str) -> tuple:
  """What was written, by length and sentence by sentence; BLEU, which means little on one sentence, ranks none."""
  order = np.argsort(evaluation.records["index"])
  names = sorted(written.metrics, key=lambda name: "bleu" in name)
  metrics = {**{name: written.metrics[name] for name in names}, "loss": task.metrics["loss"]}
  rows, (size, unit) = {**written.rows, "loss": evaluation.rows["loss"][order]}, task.size
  return text.evaluation_figures(written.sources, written.hypotheses, written.references, metrics, rows, unit=unit,
                                 lengths_N=evaluation.records[size][order], split=split)


def _speech_figures(written: Written, write: Callable, experiment, opened: Opened, split: str, mesh: Mesh, net: Network, params,
                    buffers) -> tuple:
  """Of transcripts the errors by speaker and by noise, and the worst utterances; `write` makes a Written of batches."""
  task, data, examples = experiment.task, experiment.data, opened.evaluation[split]
  (name, metric), speakers = next(iter(written.metrics.items())), examples.raw(written.index).get("speaker")
  figures = [] if speakers is None else [
      *speech.by_speaker(metric, written.rows[name], list(map(str, speakers)), name=name, split=split)]
  values = {}
  for level in task.noise_levels:
    noisy = jax.jit(functools.partial(with_noise, decibels=level))
    batches = data.evaluating(opened, split, sharding=batch_sharding(mesh))
    values[level] = write(map(noisy, batches)).values[name]
  if values:
    figures += speech.by_noise({name: values}, written.values, split=split)
  if not hasattr(task, "listen"):
    return tuple(figures)
  scores_N = np.array([metric.value(row) for row in written.rows[name]])
  scores_N = np.where(np.isfinite(scores_N), scores_N if metric.better == "lower" else -scores_N, -np.inf)
  worst = np.argsort(-scores_N, kind="stable")[:_HEARD]
  texts, references = [written.hypotheses[n] for n in worst], [written.references[n][0] for n in worst]
  heard = listen(net, task, data, opened, split, written.index[worst], texts, params, buffers, mesh)
  labels = [f"{examples.key(int(written.index[n]))} · {name} {metric.value(written.rows[name][n]):.3g}" for n in worst]
  return (*figures, *speech.utterances(heard, references, texts, labels, title=f"The worst utterances, {split}"))


def network_figures(experiment, opened: Opened, data_dir, mesh: Mesh, net: Network, params, buffers, seed: int) -> tuple:
  """Of a classifier of images: a training batch as it sees it, its first filters, its features in two dimensions.

  Args: see evaluate_splits.
  """
  task, data = experiment.task, experiment.data
  shape = opened.features["inputs"].shape if isinstance(task, Classification) else ()
  if len(shape) != 3 or shape[-1] not in (1, 3) or opened.train is None:
    return ()
  names = next(iter(data.evaluation.values())).class_names(data_dir)
  with contextlib.closing(data.training(opened, seed=seed, sharding=batch_sharding(mesh))) as batches:
    batch = next(batches)
  see = jax.jit(lambda batch: augmentation.apply(data.on_device, batch, jax.random.key(seed)), out_shardings=replicated(mesh))
  figures = [*training_batch(see(batch), data.on_device, num_classes=task.num_classes, names=names),
             *first_filters(jax.device_get(params), data.on_device, shape[-1])]
  if not hasattr(nnx.eval_shape(lambda: net.construct(nnx.Rngs(0))), "features"):
    return tuple(figures)

  @functools.partial(jax.jit, out_shardings=replicated(mesh))
  def features(params, buffers, batch):
    inputs = augmentation.apply(data.on_device, batch, None)["inputs"]
    return net.bind(params, buffers).features(inputs[:, 0] if inputs.ndim == 5 else inputs)  # the first view of several

  found, labels = [], []
  for batch in data.evaluating(opened, next(iter(opened.evaluation)), sharding=batch_sharding(mesh)):
    real = np.flatnonzero(jax.device_get(batch["mask"]))
    found.append(np.asarray(features(params, buffers, batch)).reshape(len(batch["mask"]), -1)[real])
    labels.append(np.asarray(jax.device_get(batch["labels"]))[real])
    if sum(map(len, labels)) >= _POINTS:
      break
  return (*figures, *feature_plane(np.concatenate(found), np.concatenate(labels), num_classes=task.num_classes, names=names))
