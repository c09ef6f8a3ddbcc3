"""Features of a frozen network, computed once: what a new head, a linear probe or nearest neighbours learn from."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from flax import nnx

from research.augmentation import base as augmentation
from research.augmentation.base import OnDevice
from research.config import ConfigError
from research.data.dataset import Data
from research.data.examples import Columns, Examples
from research.data.sources import Source
from research.preprocessing.transform import Transform
from research.pretrained.weights import Pretrained
from research.training.progress import Progress
from research.training.state import merge, split


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features(Source):
  """`inputs` (D,) float32: what the head of a pretrained network sees, of every example of another source; and its `labels`.

  They are computed when the source is opened, once for each process, without random transforms. Broken records are left out.

  Attributes:
    source: the examples.
    transforms: done to them, in their form for evaluation.
    on_device: done to them on the device.
    model: the network; its `features` are taken.
    pretrained: its weights.
    num_outputs: of its head, as the weights have it.
    batch_size: examples at a time.
  """

  source: Source
  transforms: tuple[Transform, ...]
  on_device: tuple[OnDevice, ...]
  model: Any
  pretrained: Pretrained
  num_outputs: int
  batch_size: int = 32

  def open_all(self, data_dir: str | None) -> Examples:
    return _computed(self, None if data_dir is None else str(data_dir))

  def class_names(self, data_dir: str | None) -> tuple[str, ...] | None:
    return self.source.class_names(data_dir)


@functools.lru_cache(maxsize=8)
def _computed(config: Features, data_dir: str | None) -> Examples:
  data = Data(train=None, evaluation={"all": config.source}, transforms=config.transforms, on_device=config.on_device,
              batch_size=config.batch_size, eval_batch_size=config.batch_size)
  opened = data.open(data_dir)
  if "labels" not in opened.features:
    raise ConfigError(f"features need examples with labels; these have {', '.join(opened.features)}")
  seen = jax.eval_shape(lambda batch: augmentation.apply(config.on_device, batch, None), data.spec(opened))
  construct = lambda: split(config.model.build(seen["inputs"], config.num_outputs, nnx.Rngs(0)))
  definition, params, buffers = jax.eval_shape(construct)
  params, buffers, _ = config.pretrained.load(data_dir, config.model, params, buffers)

  @jax.jit
  def features(params, buffers, batch):
    batch = augmentation.apply(config.on_device, batch, None)
    network: Any = merge(definition, params, buffers)
    return network.features(batch["inputs"])

  progress, found, labels, done = Progress(len(opened.evaluation["all"])), [], [], 0
  for batch in data.evaluating(opened, "all"):
    real = np.asarray(batch["mask"]) > 0
    found.append(np.asarray(features(params, buffers, batch))[real])
    labels.append(np.asarray(batch["labels"])[real])
    done += len(real)
    progress.line(min(done, len(opened.evaluation["all"])), "features", unit="example", hurried=True)
  return Columns({"inputs": np.concatenate(found), "labels": np.concatenate(labels)})
