"""Comparisons: a difference is of equal seeds and has an interval that covers it; a selection never looks at the test set."""

import dataclasses
import json

import numpy as np
import pytest
from etils import epath

from research import config
from research.config import ConfigError
from research.experiment import Comparison, Difference, Selection
from research.figures import Figure
from research.studies.base import Findings, Study
from research.tasks.classification import Classification
from research.training.interruption import Interruption
from research.workdir import Run

DIFFERENCE = Difference(of="new", minus="old", metric="test/accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fake(Study):
  """Gives the metrics it is made with.

  Attributes:
    test: the metric on the test set.
    validation: on the validation set.
    half: half width of the test interval.
  """

  test: float
  validation: float = 0.0
  half: float = 0.0
  task = Classification(num_classes=2)

  def measure(self, seed, parts):
    return Findings(metrics={"test/accuracy": self.test + seed / 10, "validation/accuracy": self.validation},
                    intervals={"test/accuracy": (self.test - self.half, self.test + self.half)},
                    signatures={"test/accuracy": "top1"}, figures=(Figure("Curve", "x", "y", ()),), seconds={"step": 1.0})


def fake(test, **more):
  return Fake(test=test, paper=None, targets=(), **more)


@pytest.fixture
def run(tmp_path):
  with Interruption() as interruption:
    yield lambda name: Run(epath.Path(tmp_path), None, interruption).child(name)


def found(pairs, half=(0.0, 0.0), signatures=("top1", "top1")):
  return [Findings(metrics={"new/test/accuracy": a, "old/test/accuracy": b},
                   intervals={"new/test/accuracy": (a - half[0], a + half[0]), "old/test/accuracy": (b - half[1], b + half[1])},
                   signatures={"new/test/accuracy": signatures[0], "old/test/accuracy": signatures[1]}) for a, b in pairs]


def test_a_difference_is_of_equal_seeds():
  """What moves both members alike leaves it alone."""
  value, (low, high), signature = DIFFERENCE.measure(found([(0.5, 0.4), (0.9, 0.8), (0.3, 0.2)]))
  assert signature == "top1" and value == pytest.approx(0.1) and high - low < 1e-12


def test_its_interval_is_of_seeds_and_of_examples():
  differences = np.array([0.1, 0.3, 0.2])
  pairs = [(0.5 + d, 0.5) for d in differences]
  value, (low, high), _ = DIFFERENCE.measure(found(pairs))
  assert (low + high) / 2 == pytest.approx(value) == pytest.approx(0.2)
  assert (high - low) / 2 == pytest.approx(4.3027 * 0.1 / np.sqrt(3), rel=1e-4)  # Student's t with 2 degrees of freedom
  _, (low, high), _ = DIFFERENCE.measure(found(pairs[:1], half=(0.03, 0.04)))
  assert (high - low) / 2 == pytest.approx(0.05)  # one seed: examples alone


def test_it_covers_the_truth_in_19_of_20_experiments():
  rng = np.random.default_rng(0)
  num_examples, hits = 400, 0
  for _ in range(300):
    rates = 0.7 + rng.normal(0, 0.02, (3, 2)) + [0.1, 0]  # of three seeds, two members, tested on different examples
    values = rng.binomial(num_examples, np.clip(rates, 0, 1)) / num_examples
    half = 1.96 * np.sqrt(0.7 * 0.3 / num_examples)
    _, (low, high), _ = DIFFERENCE.measure(found(values, half=(half, half)))
    hits += low <= 0.1 <= high
  assert hits / 300 > 0.93


def test_unlike_metrics_have_no_difference():
  with pytest.raises(AssertionError, match="top5"):
    DIFFERENCE.measure(found([(0.5, 0.4)], signatures=("top1", "top5")))


def test_a_comparison_concludes_its_differences_and_names_figures_after_members(run):
  comparison = Comparison(members={"new": fake(0.8), "old": fake(0.5)}, differences=(DIFFERENCE,))
  findings = {seed: comparison.measure(seed, run(str(seed))) for seed in (0, 1)}
  together = comparison.conclude(findings)
  assert together.metrics == {"new - old/test/accuracy": pytest.approx(0.3)}
  assert set(together.intervals) == set(together.signatures) == set(together.metrics)
  assert together.figures[0].rows[0][:4] == ("new", "old", "test/accuracy", "+0.3000")
  titles = [figure.title for figure in findings[0].figures]
  assert titles == ["Members side by side, test/accuracy", "Curve · new", "Curve · old"]
  bars = findings[1].figures[0].series[0]
  assert bars.x == ("new", "old") and bars.y == pytest.approx((0.9, 0.6))
  assert not dataclasses.replace(comparison, differences=()).conclude(findings).metrics


def test_a_selection_takes_the_best_on_validation_whatever_the_test_says(run):
  selection = Selection(by="validation/accuracy", members={
      "slow": fake(0.9, validation=0.6), "right": fake(0.5, validation=0.8), "fast": fake(0.7, validation=0.1)})
  made = selection.measure(0, run("selection"))
  assert made.metrics["test/accuracy"] == 0.5
  assert made.notes == ("Chosen by validation/accuracy: right (slow 0.6000, right 0.8000, fast 0.1000).",)
  assert made.seconds == {"step": 3.0}
  again = config.from_json(json.loads(json.dumps(config.to_json(selection))), selection)
  assert again == selection and "by" in [leaf.path for leaf in config.leaves(selection)]
  inside = Comparison(members={"new": selection, "old": fake(0.2)}, differences=(DIFFERENCE,))
  assert inside.measure(0, run("both")).metrics["new/test/accuracy"] == 0.5


def test_a_selection_by_what_is_not_measured_is_refused():
  from test_fit import recipe

  with pytest.raises(ConfigError, match="by=validation/accuracy: only has no such metric; there are test/loss"):
    Selection(by="validation/accuracy", members={"only": recipe()}).check(None)
