"""Maps of the network itself correlate fully, noise not at all, and layers are forgotten from the top."""

import jax
import numpy as np
import pytest

from experiments import saliency_sanity_checks
from research import config
from research.studies.saliency_sanity_checks import METHODS


class Saved:
  """Finished parts, as JSON would give them back."""

  def __init__(self):
    self.parts = {}

  def each(self, name, items, compute):
    for item in items:
      if item not in self.parts:
        self.parts[item] = jax.tree.map(lambda v: v.tolist() if hasattr(v, "tolist") else v, compute(item))
    return [self.parts[item] for item in items]


@pytest.fixture(scope="module")
def run():
  study = config.override(saliency_sanity_checks.experiment(),
                          {"epochs": 3, "random_label_epochs": 2, "num_images": 20, "num_steps": 10})
  saved = Saved()
  return study, saved, study.measure(0, saved)


@pytest.mark.heavy
def test_correlation_is_one_with_itself_and_zero_with_noise(run):
  _, _, found = run
  for series in found.figures[0].series:
    assert series.y[0] == pytest.approx(1, abs=1e-6) and len(series.y) == 5
    assert max(series.y[1:]) < 0.999
  assert abs(found.metrics["noise"]) < 0.1
  assert found.metrics["memorised"] < 0.5  # two epochs are not enough, and the criterion would say so


@pytest.mark.heavy
def test_the_gradient_forgets_and_the_input_s_mask_stays(run):
  _, _, found = run
  assert found.metrics["gradient_reinitialised"] < 0.4 < found.metrics["gradient_x_input_reinitialised"]
  assert found.metrics["masked_noise"] > 0.5


@pytest.mark.heavy
def test_every_net_has_maps_of_its_own_and_an_interrupted_run_gives_the_same(run):
  study, saved, found = run
  assert list(saved.parts) == ["trained", "head", "layers/0", "convolutions/1", "convolutions/0", "random labels"]
  gradients = np.array([part["maps"]["gradient"] for part in saved.parts.values()])
  assert gradients.shape == (6, 20, 8, 8, 1)
  for i in range(6):
    for j in range(i):
      assert not np.array_equal(gradients[i], gradients[j])
  again = Saved()
  again.parts = {k: v for k, v in saved.parts.items() if k != "convolutions/1"}
  assert study.measure(0, again).metrics == found.metrics


@pytest.mark.heavy
def test_what_is_measured_is_what_is_targeted(run):
  study, _, found = run
  assert {t.metric for t in study.targets} <= set(found.metrics)
  assert len(found.figures[2].rows) == 1 + len(METHODS)
