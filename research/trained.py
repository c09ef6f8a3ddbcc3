"""A trained network with all that leads an example to it: what is explained and what is exported."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from jax.sharding import Mesh

from research.data.dataset import Data, Opened
from research.tasks.base import Task
from research.training.program import Network
from research.workdir import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
  """A network with the weights that a run ended with, or was given.

  Attributes:
    data, task, model: the recipe's.
    opened: the data.
    network: what was trained.
    params, buffers: its weights, on the mesh.
    mesh: the devices.
    seed: of the run.
    run: where it was trained; `run.folder` is where what is made of it goes.
    checkpoints: reads the parameters of the run's checkpoints one after the other, the oldest first; none of given weights.
  """

  data: Data
  task: Task
  model: Any
  opened: Opened
  network: Network
  params: Any
  buffers: Any
  mesh: Mesh
  seed: int
  run: Run
  checkpoints: Callable[[], Iterator[Any]] = lambda: iter(())
