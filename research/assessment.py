"""An experiment that trains nothing: given weights are evaluated by a published protocol."""

import dataclasses
import time
from typing import Any

import jax
from flax import nnx

from research.config import outside
from research.data.dataset import Data
from research.evaluation.evaluator import make_statistics
from research.experiment import Model
from research.paper import Paper, Target
from research.pretrained.weights import Pretrained
from research.results import evaluate_splits
from research.studies.base import Findings
from research.tasks.base import Task
from research.trained import Trained
from research.training import cache
from research.training.precision import Format
from research.training.program import network
from research.training.progress import say
from research.training.sharding import Sharding, parameter_shardings, replicated
from research.training.state import split
from research.workdir import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assessment:
  """Weights and what they must show.

  Attributes:
    pretrained: the weights.
    precision: number format of the computation.
    sharding: devices.
    paper: where the result was published.
    targets: what the weights must show; metrics are named split/metric.
    seeds: one: nothing is random.
  """

  data: Data
  task: Task
  model: Model
  pretrained: Pretrained
  precision: Format = "float32"
  sharding: Sharding = Sharding()
  paper: Paper | None = outside(None)
  targets: tuple[Target, ...] = outside(())
  seeds: tuple[int, ...] = outside((0,))

  def check(self, data_dir) -> None:
    """Raises UserError for what can be known to fail before a device works."""
    net = self._network(self.data.open(data_dir))
    self.pretrained.check(data_dir, self.model, net.params, net.buffers)
    self.sharding.mesh()

  def measure(self, seed: int, run: Run) -> Findings:
    """Loads the weights and evaluates them on every split."""
    begin = time.monotonic()
    loaded = self.trained(seed, run)
    seconds = time.monotonic() - begin
    found = evaluate_splits(self, loaded.opened, run.data_dir, loaded.mesh, loaded.network,
                            make_statistics(loaded.network, self.task, loaded.mesh), loaded.params, loaded.buffers,
                            run.interruption.raise_if_requested)
    return dataclasses.replace(found, seconds={"weights": seconds, "evaluation": time.monotonic() - begin - seconds})

  def trained(self, seed: int, run: Run) -> Trained:
    """The network with the given weights."""
    cache.enable()
    opened, mesh = self.data.open(None if run.data_dir is None else str(run.data_dir)), self.sharding.mesh()
    net = self._network(opened)
    shardings = (parameter_shardings(mesh, net.params, self.sharding.rules),
                 jax.tree.map(lambda _: replicated(mesh), net.buffers))
    placed = lambda s, place: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place)
    params, buffers = jax.tree.map(placed, (net.params, net.buffers), shardings)
    if self.pretrained.fresh:  # what the file does not give begins at random
      make = jax.jit(lambda: split(net.construct(nnx.Rngs(0)))[1:], out_shardings=shardings)
      params, buffers = make()
    params, buffers, report = self.pretrained.load(run.data_dir, self.model, params, buffers)
    say(report)
    return Trained(data=self.data, task=self.task, model=self.model, opened=opened, network=net, params=params, buffers=buffers,
                   mesh=mesh, seed=seed, run=run)

  def evaluate(self, seed: int, run: Run) -> Findings:
    """As `measure`: there is no checkpoint."""
    return self.measure(seed, run)

  def conclude(self, findings: dict[int, Findings]) -> Findings:
    """Nothing follows from several seeds."""
    del findings
    return Findings(metrics={})

  def objective(self, seed: int, data_dir=None) -> Any:
    """None: nothing is minimised."""
    del seed, data_dir

  def _network(self, opened):
    return network(model=self.model, task=self.task, on_device=self.data.on_device, spec=self.data.spec(opened),
                   precision=self.precision)
