"""Golden curves: 20 losses of each recipe stay what they were. After a change that is meant to change them, make them anew:

    python tests/test_golden.py
"""

import dataclasses
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import numpy as np
import pytest

from experiments import mnist1d_benchmark, quickstart
from research.training import program

PATH = pathlib.Path(__file__).parent / "golden_curves.json"
RECIPES = {**mnist1d_benchmark.experiment().members, "digits": quickstart.digits()}


def losses(experiment, num: int = 20) -> list[float]:
  """The training loss of the first steps, from seed 0."""
  experiment = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, steps_per_call=1))
  opened = experiment.data.open(None)
  made = program.build(model=experiment.model, task=experiment.task, optimizer=experiment.optimizer,
                       training=experiment.training, specs=experiment.data.specs(opened), length=experiment.length(opened),
                       mesh=experiment.training.sharding.mesh(jax.devices()[:1]))
  state, curve = made.create(jax.random.key(0)), []
  batches = experiment.data.training(opened, seed=0)
  for _ in range(num):
    state = made.step(dataclasses.replace(state, window=made.fresh_window()), next(batches))
    total, count = jax.device_get(state.window["loss"])
    curve.append(float(total / count))
  batches.close()
  return curve


@pytest.mark.parametrize("name", RECIPES)
def test_the_curve_is_what_it_was(name):
  np.testing.assert_allclose(losses(RECIPES[name]), json.loads(PATH.read_text())[name], rtol=2e-5)


if __name__ == "__main__":
  PATH.write_text(json.dumps({name: losses(recipe) for name, recipe in RECIPES.items()}, indent=1) + "\n")
