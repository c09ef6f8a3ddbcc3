"""A short run shows the claim, and its controls fail."""

import base64
import io

import jax
import numpy as np
import pytest
from parts import InMemory
from PIL import Image

from experiments import integrated_gradients_completeness
from research import config, paper


@pytest.mark.heavy
def test_the_gap_closes_and_black_pixels_get_nothing():
  study = config.override(integrated_gradients_completeness.experiment(),
                          {"epochs": 2, "num_images": 10, "num_steps": (1, 20, 50)})
  found = study.measure(0, InMemory())
  assert found.metrics["gap_1"] > 2 * found.metrics["gap_20"] > 2 * found.metrics["gap_50"]
  for target in study.targets:
    if target.metric != "gap_300":
      assert paper.judge(target, [found.metrics[target.metric]]).verdict == "REPRODUCED", target.metric
  gaps, pictures = found.figures
  assert gaps.series[0].x == (1, 20, 50)
  encoded = pictures.rows[1][0].image.removeprefix("data:image/png;base64,")
  assert Image.open(io.BytesIO(base64.b64decode(encoded))).size == (48, 48)


@pytest.mark.heavy
def test_the_objective_is_the_training_loss():
  loss, params = integrated_gradients_completeness.experiment().objective(0)
  assert float(loss(params)) == pytest.approx(np.log(10), abs=1)
  gradients = jax.grad(loss)(params)
  assert all(bool((g != 0).any()) for g in jax.tree.leaves(gradients))


@pytest.mark.parametrize("steps", [(), (0, 5), (20, 5), (5, 5)])
def test_steps_that_do_not_rise_are_refused(steps):
  with pytest.raises(config.ConfigError, match="num_steps"):
    config.override(integrated_gradients_completeness.experiment(), {"num_steps": steps})
