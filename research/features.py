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
from research.data.dataset import Data, Opened
from research.data.examples import Columns, Examples
from research.data.intake import Intake
from research.data.sources import Source
from research.preprocessing.transform import Transform
from research.pretrained.weights import Pretrained
from research.training.program import Network
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

  def intake(self, data_dir: str | None) -> Intake:
    return self.source.intake(data_dir).then(self.transforms).part(self)

  def joined(self, head: Network, params: Any, buffers: Any, data_dir: str | None) -> tuple[Network, Any, Any, Opened]:
    """This network with a head that was trained on its features behind it, as one; and the examples as it reads them.

    Args:
      head: the other network.
      params, buffers: its weights.
      data_dir: as for `open`.
    """
    _, opened, definition, *of_features = _frozen(self, data_dir)
    both = lambda own, of_head: {"features": own, "head": of_head}

    def bind(params, buffers):
      network: Any = merge(definition, params["features"], buffers["features"])
      last = head.bind(params["head"], buffers["head"])
      return lambda inputs, key=None: last(network.features(inputs), key=key)

    see = lambda batch: augmentation.apply(self.on_device, batch, None)
    params, buffers = both(of_features[0], params), both(of_features[1], buffers)
    shapes = lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
    whole = dataclasses.replace(head, bind=bind, see=see, params=shapes(params), buffers=shapes(buffers))
    return whole, params, buffers, opened


def _frozen(config: Features, data_dir: str | None) -> tuple[Data, Opened, Any, Any, Any]:
  """The examples as data and opened; the network's definition and its weights."""
  data = Data(train=None, evaluation={"all": config.source}, transforms=config.transforms, on_device=config.on_device,
              batch_size=config.batch_size, eval_batch_size=config.batch_size)
  opened = data.open(data_dir)
  if "labels" not in opened.features:
    raise ConfigError(f"features need examples with labels; these have {', '.join(opened.features)}")
  seen = jax.eval_shape(lambda batch: augmentation.apply(config.on_device, batch, None), data.spec(opened))
  construct = lambda: split(config.model.build(seen["inputs"], config.num_outputs, nnx.Rngs(0)))
  definition, params, buffers = jax.eval_shape(construct)
  params, buffers, _ = config.pretrained.load(data_dir, config.model, params, buffers)
  return data, opened, definition, params, buffers


@functools.lru_cache(maxsize=8)
def _computed(config: Features, data_dir: str | None) -> Examples:
  data, opened, definition, params, buffers = _frozen(config, data_dir)

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
    progress.line(min(done, len(opened.evaluation["all"])), "features", unit="example", every=1)
  return Columns({"inputs": np.concatenate(found), "labels": np.concatenate(labels)})
