"""The mode export: a trained network becomes a bundle, once the gate has seen that it answers alike."""

import pathlib
import tempfile
from typing import Any

import jax
import numpy as np
from etils import epath

from research.application import also, bundle, runtime
from research.application.card import Facts
from research.application.formats.program import programs
from research.application.functions import answered
from research.application.gate import Examples, Gate
from research.application.host import Host, host
from research.application.settings import Export
from research.config import ConfigError
from research.data.intake import Intake
from research.data.loading import Loader
from research.features import Features
from research.modes.base import Context
from research.modes.facts import facts_of
from research.preprocessing.transform import apply
from research.tasks.application import Application, Given
from research.trained import Trained
from research.training.progress import say


def run(context: Context, settings: Export) -> int:
  also.check_installed(settings.also)
  trained = context.trained()
  name = "/".join(filter(None, (context.name, context.member)))
  export(trained, settings, name, facts_of(context, trained))
  return 0


def export(trained: Trained, settings: Export, name: str, facts: Facts) -> epath.Path:
  """Makes the bundle of a network in the folder of its run.

  Args:
    trained: the network.
    settings: of the mode.
    name: of the experiment.
    facts: for the model card.

  Raises:
    ConfigError: the task or the data are none of an application.
    GateError: the bundle, or what is written in another format, does not answer as the network does.
    FormatError: another format cannot hold the network.
  """
  split = settings.split or next(iter(trained.opened.evaluation))
  if split not in trained.opened.evaluation:
    raise ConfigError(f"export.split={split}: there is no such split; there are {', '.join(trained.opened.evaluation)}")
  target = trained.run.folder / "export"
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    contents, intake = _contents(trained, split, name, facts, folder)
    also.check_possible(settings.also, contents.application)
    bundle.write(contents, settings, folder)
    examples = _examples(trained, contents, intake, split, settings.num_examples, folder)
    live = jax.jit(lambda params, buffers, batch: answered(
        trained.network.bind(params, buffers), trained.network.see(batch), trained.task, contents.application))
    loaded = runtime.load(folder)
    gate = Gate(loaded, lambda batch: jax.device_get(live(trained.params, trained.buffers, batch)), contents.application,
                examples, max_loss=settings.max_loss)
    seen, others = gate.compare(), {}
    made = programs(contents) if settings.also else []
    for form in settings.also:
      also.write(form, made, folder)
      others[form] = gate.compare(also.answering(form, loaded), what=f"its {form}")
    bundle.seal(contents, {**seen, "split": split}, others, folder)
    bundle.place(folder, target)
  for form, found in {settings.weights: seen, **others}.items():
    say(f"gate: {found['examples']} examples of {split}, largest difference {found['largest_difference']:.2g}, whole numbers "
        f"equal in {found['same_tokens']}, {found['metric']} {found['live']:.4f} live, {found['bundle']:.4f} exported ({form})")
  say(f"bundle: {target}")
  return target


def _contents(trained: Trained, split: str, name: str, facts: Facts,
              folder: pathlib.Path) -> tuple[bundle.Contents, Intake]:
  """What is written, and how people's inputs come in; the tokenizers are in the folder afterwards."""
  task: Any = trained.task
  if not hasattr(task, "application"):
    raise ConfigError(f"{name} cannot become an application: {type(task).__name__} answers no question")
  data, opened = trained.data, trained.opened
  source, examples, data_dir = data.evaluation[split], opened.evaluation[split], trained.run.data_dir
  data_dir = None if data_dir is None else str(data_dir)
  intake = source.intake(data_dir)
  tokenizers = {f"tokenizers/{name}": tokenizer for name, tokenizer in examples.tokenizers.items()}
  bundle.save_tokenizers(tokenizers, folder)
  lengths = ({},) if data.buckets is None else data.buckets.named
  shapes = {name: (lengths[-1][name], *f.shape) if f.ragged else f.shape for name, f in opened.features.items()}
  whole = Host(field="", listed=False, transforms=(*intake.transforms, *data.transforms))
  application: Application = task.application(Given(
      modality=whole.modality, labels=source.class_names(data_dir), tokenizers=examples.tokenizers, shapes=shapes,
      lengths=lengths, rate=whole.rate))
  way = host(intake, data.transforms, application.features, folder)
  network, params, buffers = trained.network, trained.params, trained.buffers
  if isinstance(source, Features):  # a head, trained on what a frozen network gives: an application needs both
    network, params, buffers, opened = source.joined(network, params, buffers, data_dir)
  return bundle.Contents(
      name=name, title=facts.summary.splitlines()[0], network=network, task=task, application=application, params=params,
      buffers=buffers, features=opened.features, host=way, tokenizers=tokenizers, facts=facts), intake


def _examples(trained: Trained, contents: bundle.Contents, intake: Intake, split: str, num: int,
              folder: pathlib.Path) -> Examples:
  """Real examples, spread over the split: as people give them, and as the evaluation's own pipeline reads them."""
  opened, way = trained.opened.evaluation[split], contents.host
  at = np.unique(np.linspace(0, len(opened) - 1, min(num, len(opened))).astype(np.int64))
  read = intake.examples.read(at)
  if intake.file is not None:
    inputs = [intake.file({name: values[i] for name, values in read.items()}) for i in range(len(at))]
  else:
    inputs = [" ".join(value) if way.listed else value for value in read[way.field]]
  ragged = () if trained.data.buckets is None else trained.data.buckets.features
  lengths = {} if trained.data.buckets is None else trained.data.buckets.named[-1]
  if all(name in lengths or not contents.application.lengths[0] for name in contents.application.features):
    loaded, broken = Loader(opened, trained.data.transforms, None, ragged).load(at, np.zeros_like(at), lengths)
    if broken:
      raise ConfigError(f"export: {len(broken)} of {len(at)} examples of {split} cannot be read: {broken[0].key}")
    features = {name: [row[:length] for row, length in zip(rows, loaded[f"{name}_length"])] if name in ragged else rows
                for name, rows in loaded.items()}
  else:  # windows of a text: a prompt is what an intake makes of one, not an example of the evaluation
    features = apply([transform.at(folder) for transform in way.transforms], {way.field: inputs}, None)
  return Examples(inputs=inputs, features=features, raw=opened.raw(at))
