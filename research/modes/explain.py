"""The mode explain: why a network answers as it does, how far each explanation can be trusted, and what taught it so."""

import dataclasses
from typing import Any

import jax
import numpy as np
from flax import nnx

from research.config import ConfigError, config_hash, to_json
from research.data.loading import Loader
from research.evaluation.writing import make_writer
from research.interpretation import examination, influence
from research.interpretation.randomization import layers_from_the_top
from research.interpretation.rewriting import NotThere
from research.interpretation.settings import Explain
from research.interpretation.subject import subject
from research.modes.base import Context
from research.modes.explained import Shown, Watch
from research.records import environment
from research.report import explanation
from research.report.page import write_report
from research.studies.base import Findings
from research.trained import Trained
from research.training.progress import Progress, say
from research.training.state import split as split_network
from research.workdir import plain, write_json

_FRESH = 1_000  # added to the seed: weights that have nothing to do with the trained ones
_PART = 64  # training examples of a batch
_SHOWN = 3  # training examples of either kind
_DAMPING, _TOLERANCE, _STEPS = 1e-3, 1e-4, 200


def run(context: Context, settings: Explain) -> int:
  trained = context.trained()
  run, folder = trained.run, trained.run.folder / "explain"
  folder.mkdir(exist_ok=True)
  split = settings.split or next(iter(trained.opened.evaluation))
  if split not in trained.opened.evaluation:
    raise ConfigError(f"explain.split={split}: there is no such split; there are {', '.join(trained.opened.evaluation)}")
  parts, key = dataclasses.replace(run, folder=folder), config_hash(settings)
  examples = trained.opened.evaluation[split]
  at = np.unique(np.linspace(0, len(examples) - 1, min(settings.num_examples, len(examples))).astype(np.int64))
  batch, at = _load(trained, examples, at)
  weights = trained.params, trained.buffers
  task: Any = trained.task
  write = None
  if getattr(task, "writing", None) is not None:
    writer = make_writer(trained.network, task, trained.mesh)
    write = lambda batch, seen: task.given(seen, writer(*weights, {**batch, "index": at.astype(np.int32)})[1])
  watch = Watch(run)
  its = subject(trained.network, task, weights, batch, settings, write, watch.call)
  names, missing = its.explainer.applicable(weights, its.case(0))
  say(f"{run.label}{len(its.rows)} answers to {len(at)} examples of {split}, {its.size} at a time, by {', '.join(names)}")
  num_checked = min(-(-settings.num_checked // its.size), its.num_batches)
  shown = Shown(trained, its, batch, split, at, folder)
  nets = {}
  if num_checked:
    fresh = split_network(trained.network.construct(nnx.Rngs(trained.seed + _FRESH)))[1]
    # Where the trained ones lie, or each network would be compiled anew.
    fresh = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), fresh, trained.params)
    answers = lambda params: its.explainer.probe.attachment.run(params, trained.buffers, its.case(0).batch)
    nets = examination.forgetting(trained.params, fresh, layers_from_the_top(answers, trained.params), settings.forgotten)
  disturbances = [settings.disturbances if b < num_checked else 0 for b in range(its.num_batches)]
  maps = [len(names) * (1 + num) for num in disturbances] + [len(names) * num_checked] * len(nets)
  watch.total = sum(maps)

  def examine(b: int):
    watch.begin(sum(maps[:b]))
    found, fine = examination.examine(its.explainer, weights, its.case(b), names, seed=b, disturbances=disturbances[b],
                                      between=watch.map)
    shown.save(b, fine)
    return found

  def compare(net: str):
    watch.begin(sum(maps[:its.num_batches + list(nets).index(net)]))
    return [examination.alike(its.explainer, (nets[net], trained.buffers), its.case(b), names, batches[b], watch.map)
            for b in range(num_checked)]

  batches = parts.each(f"{key} answers", range(its.num_batches), examine)
  checks = dict(zip(nets, parts.each(f"{key} without", nets, compare)))
  summary = examination.summarize([e for e, _ in its.rows], batches, checks, names)
  taught = {}
  if trained.opened.train is not None and settings.influenced:
    [taught] = parts.each(f"{key} influence", ["all"], lambda _: _influence(trained, examples, at, settings))
  answers = shown.answers(batches)
  figures = (*explanation.faithfulness(summary, missing), *shown.figures(answers, names), *shown.influence(taught))
  notes = [] if "integrated_gradients" not in names else [
      f"Integrated gradients: at most {max(b['num_steps'] for b in batches)} steps; completeness gap "
      f"{np.nanmedian([b['gap'] for b in batches]):.2%} (median), {np.nanmax([b['gap'] for b in batches]):.2%} (largest)."]
  write_json(folder / "explain.json", plain({
      "split": split, "settings": to_json(settings), "methods": summary, "not_applicable": missing, "notes": notes,
      "answers": answers, "influence": taught}))
  write_report(folder / "report.html", {
      "experiment": context.name, "subject": "why", "notes": notes,
      "summary": f"Why the network answers as it does: {len(its.rows)} answers to {len(at)} examples of {split}."},
      {"": Findings(metrics={}, figures=figures)}, {}, to_json(settings), environment())
  for name in (*names, "random"):
    one = summary[name]
    say(f"{name:24} {one.get('verdict', ''):26} " + "  ".join(
        f"{measure} {one[measure]['mean']:+.3f}" for measure in ("insertion", "deletion", "mu_fidelity")))
  for note in notes:
    say(note)
  print(f"report: {folder / 'report.html'}")
  return 0


def _load(trained: Trained, examples, at: np.ndarray, *, whole: bool = False) -> tuple[dict[str, Any], np.ndarray]:
  """Examples as an evaluation has them, without broken ones, and their numbers.

  Texts are as long as the longest of them, or as the longest bucket where they are to be `whole`.
  """
  buckets = trained.data.buckets
  ragged, lengths = ((), {}) if buckets is None else (buckets.features, buckets.named[-1])
  loader = Loader(examples, trained.data.transforms, None, ragged)
  loaded, _ = loader.load(at, np.zeros_like(at), lengths)
  if not loaded["mask"].any():
    raise ConfigError("explain: none of the examples can be read")
  real = loaded["mask"] > 0
  if ragged and not whole:
    lengths = {name: int(loaded[f"{name}_length"][real].max()) for name in ragged}
    loaded, _ = loader.load(at, np.zeros_like(at), lengths)
  return {name: jax.numpy.asarray(value[real]) for name, value in loaded.items()}, at[real]


def _influence(trained: Trained, examples, explained: np.ndarray, settings: Explain) -> dict[str, Any]:
  """Of some explained examples the most helpful and harmful training examples, by the last layer and over the checkpoints."""
  train = trained.opened.train
  assert train is not None
  at = np.unique(np.linspace(0, len(train) - 1, min(settings.num_train, len(train))).astype(np.int64))
  loaded, at = _load(trained, train, at, whole=True)
  size = min(_PART, len(at))
  starts = range(0, len(at) - size + 1, size)
  batches = [{name: value[start:start + size] for name, value in loaded.items()} for start in starts]
  num = min(settings.influenced, len(explained), size)
  first, _ = _load(trained, examples, explained[:num], whole=True)
  first = {name: value[np.arange(size) % num] for name, value in first.items()}

  def loss(params, batch):
    rows_B2 = trained.network.rows(params, trained.buffers, batch, None)[0]["loss"]
    return rows_B2[:, 0] / jax.numpy.maximum(rows_B2[:, 1], 1)

  layer = layers_from_the_top(lambda params: loss(params, first), trained.params)[0]
  found, left = {}, None
  try:
    part, own = influence.last_layer(loss, trained.params, batches[0], layer)
    known = list(map(part.known, batches))
    progress = Progress(_STEPS, prefix=trained.run.label)

    def between(step: int) -> None:
      trained.run.interruption.raise_if_requested()
      progress.line(step, f"of influence over {len(at):,} training examples, at most", every=10)

    rows, left = influence.of_last_layer(part, own, known, part.known(first), num=num, damping=_DAMPING, tolerance=_TOLERANCE,
                                         max_steps=_STEPS, between=between)
    found[f"influence through the last layer, {layer}"] = rows
  except NotThere as reason:
    say(f"{trained.run.label}no influence of the last layer alone: {reason}")
  checkpoints = list(trained.checkpoints())
  if checkpoints:
    found[f"TracIn over {len(checkpoints)} checkpoints"] = influence.tracin(
        loss, checkpoints, batches, first, num=num, between=trained.run.interruption.raise_if_requested)
  ranked = lambda row: {"helpful": [(int(at[i]), float(row[i])) for i in np.argsort(-row)[:_SHOWN]],
                        "harmful": [(int(at[i]), float(row[i])) for i in np.argsort(row)[:_SHOWN]]}
  return {"residual": left, "damping": _DAMPING, "of": {name: [ranked(row) for row in rows] for name, rows in found.items()}}
