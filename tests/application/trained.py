"""Networks that stand for trained ones: their weights are random."""

import jax
from etils import epath
from flax import nnx

from research.application.card import Facts
from research.trained import Trained
from research.training.interruption import Interruption
from research.training.program import network
from research.training.sharding import Sharding
from research.training.state import split
from research.workdir import Run

FACTS = Facts(summary="A test.\nOf little.", paper=None, verdict=None, targets=(), deviations=(), licence=None, faithfulness={},
              num_params=0, trained_on="nothing", made="here")


def untrained(experiment, folder) -> Trained:
  """An experiment's network before its first step, as if a run in `folder` had ended with it."""
  data, opened = experiment.data, experiment.data.open(None)
  net = network(model=experiment.model, task=experiment.task, on_device=data.on_device, spec=data.spec(opened),
                precision=experiment.training.precision)
  params, buffers = jax.jit(lambda: split(net.construct(nnx.Rngs(0)))[1:])()
  with Interruption() as interruption:
    run = Run(epath.Path(folder), None, interruption)
  return Trained(data=data, task=experiment.task, model=experiment.model, opened=opened, network=net, params=params,
                 buffers=buffers, mesh=Sharding(data=1).mesh(), seed=0, run=run)
