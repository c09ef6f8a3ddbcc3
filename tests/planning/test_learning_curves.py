"""Learning curves: planted laws are recovered within honest intervals, and what is no power law is not called one."""

import dataclasses
import math
import subprocess

import numpy as np
import pytest

from experiments import ctc_digits, quickstart, scan_simple
from research.config import ConfigError, Duration
from research.data.digits import Digits
from research.data.nested import Nested
from research.experiment import Comparison
from research.learning_curve import DataCurve, _kept, _metrics, _part, data_curve
from research.planning import curve_forms, learning_curves
from research.planning.settings import LearningCurve
from research.studies.base import Findings
from tests.test_launch import launch

SIZES = np.array([250, 500, 1000, 2000, 4000, 8000])


def noisy(rng, errors_S, num_seeds=3, noise=0.05):
  return errors_S[:, None] * np.exp(noise * rng.normal(size=(len(errors_S), num_seeds)))


def test_intervals_hold_a_planted_exponent_floor_and_prediction_as_often_as_they_say():
  rng, held, law = np.random.default_rng(0), np.zeros(4), lambda n: 0.03 + 2 * n ** -0.4
  for _ in range(400):
    fitted = curve_forms.fit(curve_forms.FLOORED, SIZES, noisy(rng, law(SIZES)))
    new = np.exp(np.log(noisy(rng, law(np.array([32000])))).mean())
    held += [fitted.exponent.holds(0.4), fitted.floor.holds(0.03), fitted.at(32000).holds(law(32000)),
             fitted.measured_at(32000, 3).holds(new)]
  assert ((held / 400 >= 0.86) & (held / 400 <= 0.94)).all(), held / 400


@pytest.mark.parametrize("form, p, q", [(curve_forms.POWER, 0.5, 1.0), (curve_forms.FLOORED, 0.7, 0.5),
                                        (curve_forms.EXPONENTIAL, 0.5, 0.2), (curve_forms.TRANSITION, 2.0, 1.5)])
def test_a_form_without_noise_is_found_exactly_and_inverted(form, p, q):
  reference = np.exp(np.log(SIZES).mean())
  errors_S = 0.3 * form.shape(SIZES / reference, p, q)
  fitted = curve_forms.fit(form, SIZES, np.repeat(errors_S[:, None], 2, 1))
  assert fitted.exponent.value == pytest.approx(p, rel=0.02)
  assert fitted.floor.value == pytest.approx(0.3 * float(form.floor(np.float64(p), np.float64(q))), rel=0.05)
  assert fitted.at(16000).value == pytest.approx(0.3 * form.shape(16000 / reference, p, q), rel=0.02)
  assert fitted.needed(float(errors_S[3])).value == pytest.approx(SIZES[3], rel=0.02)


def test_a_transition_is_not_called_a_power_law():
  """SCAN's simple split: 5, 54, 93 % of the commands followed after 1, 2, 4 % of them."""
  rng, errors_S = np.random.default_rng(1), np.array([0.98, 0.95, 0.46, 0.07, 0.01])
  reading = learning_curves.read([80, 160, 320, 640, 1280], noisy(rng, errors_S, noise=0.03))
  assert not reading.is_power_law


@pytest.mark.parametrize("floor", [0, 0.03])
def test_the_back_test_holds_as_often_as_it_says(floor):
  rng, errors_S = np.random.default_rng(5), floor + 2 * SIZES ** -0.5
  readings = [learning_curves.read(SIZES, noisy(rng, errors_S)) for _ in range(60)]
  assert {(r.from_size, r.to_size) for r in readings} == {(2000, 8000)}
  assert 0.8 <= np.mean([r.back_test_holds for r in readings]) <= 0.98
  assert np.mean([r.is_power_law for r in readings]) >= 0.9


def test_more_data_says_what_is_not_reachable():
  reading = learning_curves.read(SIZES, noisy(np.random.default_rng(2), 0.1 + 20 * SIZES ** -0.9, noise=0.01))
  assert "not reachable by data alone" in learning_curves.more_data(reading, 0.05)
  assert "examples [" in learning_curves.more_data(reading, 0.11)


def test_worth_is_the_factor_in_data():
  ours_S, theirs_S = 2 * (4 * SIZES) ** -0.5, 2 * SIZES ** -0.5
  beside = curve_forms.fit(curve_forms.POWER, SIZES, np.repeat(theirs_S[:, None], 2, 1))
  assert learning_curves.worth(ours_S, beside, SIZES) == pytest.approx(4, rel=0.01)
  assert math.isinf(learning_curves.worth(ours_S, curve_forms.fit(
      curve_forms.FLOORED, SIZES, np.repeat((5 + theirs_S)[:, None], 2, 1)), SIZES))


def test_parts_are_nested_and_keep_the_shares_of_classes():
  source = Digits(split="train")
  read = lambda size, seed: Nested(source=source, size=size, seed=seed).open(None).read(np.arange(size))
  small, large = read(100, 0), read(400, 0)
  np.testing.assert_array_equal(small["inputs"], large["inputs"][:100])
  labels = source.open(None).read(np.arange(1297))["labels"]
  expected = 100 * np.bincount(labels) / len(labels)
  assert np.abs(np.bincount(small["labels"], minlength=10) - expected).max() <= 1
  assert not np.array_equal(read(100, 1)["inputs"], small["inputs"])
  with pytest.raises(ValueError, match="from 1 to 1297"):
    Nested(source=source, size=1298).open(None)


def test_a_part_takes_the_steps_of_the_whole_or_its_own_epochs():
  recipe = quickstart.digits()
  assert _kept(recipe, "steps", None).training.steps == Duration(30 * 20)
  assert _kept(recipe, "epochs", None).training.steps == Duration(30, "ep")
  assert _part(recipe, 100, 0).data.train == Nested(source=recipe.data.train, size=100, seed=0)


def test_all_parts_have_the_training_data_open_once(monkeypatch):
  opened, real = [], Digits.open_all
  monkeypatch.setattr(Digits, "open_all", lambda self, data_dir: opened.append(self) or real(self, data_dir))
  source = Digits(split="train", limit=600)  # no other test has it open
  for size in (100, 200, 400):
    for seed in (0, 1):
      assert len(Nested(source=source, size=size, seed=seed).open(None)) == size
  assert opened == [source]


def test_what_cannot_have_a_learning_curve_is_one_line():
  recipe, settings = quickstart.digits(), LearningCurve()
  with pytest.raises(ConfigError, match="two seeds at least"):
    data_curve(recipe, settings, recipe, None, (0,))
  with pytest.raises(ConfigError, match="there are test/loss, test/accuracy"):
    data_curve(recipe, LearningCurve(metric="test/recall"), recipe, None, (0, 1))
  with pytest.raises(ConfigError, match="no such member; there are a"):
    data_curve(recipe, LearningCurve(beside="b"), Comparison(members={"a": recipe}), None, (0, 1))
  with pytest.raises(ConfigError, match="2 sizes of at least a batch of 64"):
    data_curve(recipe, LearningCurve(ratio=10), recipe, None, (0, 1))
  assert data_curve(recipe, settings, recipe, None, (0, 1)).sizes == (81, 162, 324, 648, 1297)


def test_the_error_may_be_that_of_what_is_written():
  better = {name: metric.better for name, metric in _metrics(ctc_digits.experiment()).items()}
  assert better["seen/der"] == better["unseen/word_errors"] == better["seen/loss"] == "lower"
  assert _metrics(scan_simple.experiment())["test/exact_match"].better == "higher"


def test_conclusions_are_drawn_of_what_the_seeds_measured():
  recipe = quickstart.digits()
  curve = dataclasses.replace(data_curve(recipe, LearningCurve(reach=(0.99,)), recipe, None, (0, 1)), beside=recipe,
                              settings=LearningCurve(reach=(0.99,), beside="scratch"))
  assert isinstance(curve, DataCurve)
  rng = np.random.default_rng(0)
  value = lambda size, factor: 1 - 2 * (factor * size) ** -0.6 * math.exp(0.03 * rng.normal())
  findings = {seed: Findings(metrics={"evaluated": 500, **{str(s): value(s, 3) for s in curve.sizes},
                                      **{f"beside/{s}": value(s, 1) for s in curve.sizes}}) for seed in (0, 1)}
  found = curve.conclude(findings)
  assert found.metrics["exponent"] == pytest.approx(0.6, abs=0.1)
  assert found.metrics["worth in data"] == pytest.approx(3, rel=0.2)
  assert any(note.startswith("An error of 0.01 needs") for note in found.notes)


@pytest.mark.heavy
def test_the_mode_goes_on_where_it_was(tmp_path):
  """Through launch.py: killed in the middle, the same command trains the rest and no more, and draws its conclusions."""
  command = ("--experiment=quickstart", "--member=digits", "--mode=learning_curve", "--learning_curve.num_sizes=4",
             "--seeds=0,1")
  with pytest.raises(subprocess.TimeoutExpired):
    launch(tmp_path, *command, timeout=25)
  folder, = (tmp_path / "fieldwork/quickstart/learning_curve").iterdir()
  done = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/runs/*/findings.json")}
  assert done
  result, _ = launch(tmp_path, *command, timeout=400)
  assert result.returncode == 0 and "back-test" in result.stdout and "examples" in result.stdout
  assert len(list(folder.glob("runs/*/runs/*/findings.json"))) == 8
  assert done == {path: path.stat().st_mtime_ns for path in done}
