"""What a report shows of a classifier, from planted records; and that the page survives little, broken and much."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from research.augmentation import normalize
from research.config import from_json, to_json
from research.figures import Figure, Matrix, Picture, Pictures, Table
from research.report import classification
from research.report.page import write_report
from research.studies.base import Findings

RNG = np.random.default_rng(0)
HOSTILE = '<script>alert("x")</script> & "→"'


def records(labels, predictions, confidences):
  return {"index": np.arange(len(labels)) + 100, "label": np.array(labels), "prediction": np.array(predictions),
          "confidence": np.array(confidences, np.float32), "loss": np.zeros(len(labels), np.float32)}


def read(indices):
  """Images whose grey level tells their number."""
  return np.repeat((np.asarray(indices) - 100).astype(np.uint8)[:, None, None, None], 3, 3) + np.zeros((1, 8, 8, 1), np.uint8)


def pixels(picture: Picture) -> np.ndarray:
  return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.image.partition(",")[2]))))


def numbers(sheet: Pictures) -> list[int]:
  return [int(pixels(picture)[0, 0, 0]) for picture in sheet.rows[0]]


def by_title(figures):
  return {figure.title: figure for figure in figures}


def page(tmp_path, *figures) -> str:
  """The page of a run with these figures, which have been saved and read."""
  saved = [json.dumps(to_json(Findings(metrics={}, figures=its))) for its in figures]
  found = {str(seed): from_json(json.loads(text)) for seed, text in enumerate(saved)}
  write_report(tmp_path / "report.html", {"seeds": list(range(len(figures)))}, found, {}, {}, {})
  return (tmp_path / "report.html").read_text("utf-8")


def test_the_sheets_hold_the_right_examples_with_their_names():
  its = records([0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, -1], [0.9, 0.6, 0.7, 0.8, 0.55, 0.99])
  sheets = by_title(classification.examples(its, read, ("cat", "dog"), "test"))
  assert numbers(sheets["Most confidently wrong, test"]) == [3, 2]
  assert numbers(sheets["Right, the least certain, test"]) == [4, 1, 0]
  assert numbers(sheets["Right, the most certain, test"]) == [0, 1, 4]
  assert [p.label for p in sheets["Most confidently wrong, test"].rows[0]] == ["dog → cat, 80.0%", "cat → dog, 70.0%"]
  assert sheets["Right, the most certain, test"].rows[0][0].label == "cat, 90.0%"


def test_texts_are_shown_as_they_are():
  its = records([0, 1, 0], [0, 0, 0], [0.9, 0.8, 0.7])
  sheets = by_title(classification.examples(its, lambda at: [f"text {n}" for n in at], ("cat", "dog"), "test"))
  assert sheets["Most confidently wrong, test"].rows == (("dog", "cat", pytest.approx(0.8), "text 101"),)
  assert [row[-1] for row in sheets["Right, the most certain, test"].rows] == ["text 100", "text 102"]


def test_the_reliability_diagram_is_that_of_the_records():
  confidence = np.repeat([0.55, 0.95], 100)
  right = np.concatenate([np.arange(100) < 80, np.arange(100) < 60])
  (figure,) = classification.calibration(records(np.zeros(200, int), np.where(right, 0, 1), confidence), "test")
  accuracy = next(s for s in figure.series if s.label == "accuracy")
  np.testing.assert_allclose(accuracy.x, [0.55, 0.95], rtol=1e-6)
  np.testing.assert_allclose(accuracy.y, [0.8, 0.6])
  assert dict(figure.facts)["Expected calibration error"] == pytest.approx((0.25 + 0.35) / 2, rel=1e-5)


def test_a_matrix_names_few_classes_and_a_table_the_worst_pairs_of_many():
  labels = RNG.integers(0, 1000, 5000)
  predictions = np.where(RNG.random(5000) < 0.9, labels, (labels + 1) % 1000)
  predictions[labels == 7] = 3
  made = by_title(classification.evaluation_figures(records(labels, predictions, RNG.random(5000)), read, split="val",
                                                    num_classes=1000))
  table = made["Most frequent confusions, val"]
  assert isinstance(table, Table)
  assert table.rows[0] == ("7", "3", int(np.sum(labels == 7)), 1.0)
  assert len(table.rows) == 20
  bars = made["Accuracy by class, val"].series[0]
  assert sum(bars.y) == len(set(labels))  # classes that occur
  assert bars.y[-1] == sum(np.mean(predictions[labels == c] == c) >= 0.9 for c in set(labels))
  assert "7 0%" in made["Accuracy by class, val"].caption
  few = by_title(classification.evaluation_figures(records([0, 1, 1], [0, 0, -1], [0.5] * 3), read, split="val", num_classes=3))
  matrix = few["Confusion matrix, val"]
  assert isinstance(matrix, Matrix)
  assert matrix.columns == ("0", "1", "2", classification.NO_ANSWER)
  assert matrix.counts == ((1, 0, 0, 0), (1, 0, 0, 1), (0, 0, 0, 0))
  assert "No examples of 2" in few["Accuracy by class, val"].caption


CASES = {
    "two examples": records([0, 1], [0, 0], [0.9, 0.6]),
    "one right": records([0], [0], [1.0]),
    "one wrong": records([0], [1], [1.0]),
    "none with an answer": records([0, 1], [-1, -1], [np.nan, np.nan]),
    "a class missing": records([0, 0, 2], [0, 2, 2], [0.3, 0.5, 0.9]),
}
INPUTS = {
    "grey": lambda i: np.zeros((len(i), 8, 8, 1), np.uint8),
    "large": lambda i: np.zeros((len(i), 300, 500, 3), np.uint8),
    "views": lambda i: np.zeros((len(i), 10, 8, 8, 3), np.uint8),
    "no images": lambda i: np.zeros((len(i), 40), np.float32),
    "floats": lambda i: np.full((len(i), 8, 8, 3), np.nan, np.float32),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("inputs", INPUTS)
def test_little_and_odd_data_make_a_page(tmp_path, case, inputs):
  figures = classification.evaluation_figures(CASES[case], INPUTS[inputs], split="test", num_classes=3, names=("a", "b", "c"))
  made = page(tmp_path, figures)
  assert "Confusion matrix, test" in made
  assert ('src="data:image/' in made) == (inputs != "no images" and case != "none with an answer")


def test_a_page_of_photographs_is_small_and_names_stay_text(tmp_path):
  noise = lambda i: RNG.integers(0, 256, (len(i), 224, 224, 3), np.uint8)  # nothing compresses worse
  its = records(RNG.integers(0, 8, 200), RNG.integers(0, 8, 200), RNG.random(200))
  batch = {"inputs": noise(range(64)), "labels": np.zeros(64, int), "mask": np.ones(64)}
  seeds = [(*classification.evaluation_figures(its, noise, split="test", num_classes=8, names=(HOSTILE,) * 8),
            *classification.training_batch(batch, (), num_classes=8)) for _ in range(3)]
  made = page(tmp_path, *seeds)
  assert len(made) < 3e6
  assert "<script" not in made
  assert made.count('src="data:image/jpeg') == 3 * (3 * 8 + 16)


def test_classes_of_one_name_are_told_apart():
  assert classification.class_names(3, ("crane", "cat", "crane")) == ("crane (0)", "cat", "crane (2)")
  assert classification.class_names(2, None) == classification.class_names(2, ("a", "b", "c")) == ("0", "1")


@pytest.mark.parametrize("norm", [normalize.torch(), normalize.caffe(), normalize.signed(), normalize.unit()])
def test_a_training_batch_is_shown_as_it_was_before_it_was_normalised(norm):
  images = RNG.integers(0, 256, (20, 8, 8, 3), np.uint8)
  seen = norm({"inputs": images, "labels": np.arange(20) % 2, "mask": np.r_[0, np.ones(19)]}, None)
  (sheet,) = classification.training_batch(seen, (norm,), num_classes=2, names=("cat", "dog"))
  for picture, image in zip(sheet.rows[0], images[1:17], strict=True):
    np.testing.assert_array_equal(pixels(picture), image)
  assert [p.label for p in sheet.rows[0][:2]] == ["dog", "cat"]


def test_mixed_labels_are_named_with_their_shares():
  batch = {"inputs": np.zeros((4, 8, 8, 3), np.uint8), "mask": np.ones(4), "labels": np.array([0, 0, 0, 1]),
           "mixed_labels": np.array([1, 1, 0, 0]), "mixed_share": np.array([0.25, 0.001, 0.5, 0.7])}
  (sheet,) = classification.training_batch(batch, (), num_classes=2, names=("cat", "dog"))
  assert [p.label for p in sheet.rows[0]] == ["75% cat, 25% dog", "cat", "cat", "70% cat, 30% dog"]


def test_first_filters_are_those_of_the_first_layer_in_rgb():
  kernel = np.zeros((3, 3, 3, 2), np.float32)
  kernel[0, 0, 0, 0], kernel[2, 2, 2, 1] = 2.0, -0.5
  params = {"a": {"kernel": np.ones((3, 3, 1, 8))}, "b": {"kernel": kernel}, "c": {"kernel": np.ones((3, 3, 2, 4))}}
  (sheet,) = classification.first_filters(params, (), 3)
  first, second = map(pixels, sheet.rows[0])
  assert first[0, 0].tolist() == [255, 128, 128]
  assert second[2, 2].tolist() == [128, 128, 0]
  (blue_first,) = classification.first_filters(params, (normalize.caffe(),), 3)
  assert pixels(blue_first.rows[0][0])[0, 0].tolist() == [128, 128, 255]
  assert classification.first_filters({"head": {"kernel": np.ones((4, 5))}}, (), 3) == ()


def test_the_plane_is_that_of_the_largest_variance():
  labels = np.arange(300) % 12
  angle = 2 * np.pi * labels / 12
  turn = np.linalg.qr(RNG.normal(size=(20, 20)))[0]
  planted = np.stack([9 * np.cos(angle), 4 * np.sin(angle)], 1)
  features = planted @ turn[:2] + 0.01 * RNG.normal(size=(300, 20))
  (figure,) = classification.feature_plane(features, labels, num_classes=12)
  x, y = (np.concatenate([getattr(s, axis) for s in figure.series]) for axis in "xy")
  order = np.argsort(labels, kind="stable")
  for found, wanted in ((x, planted[order, 0]), (y, planted[order, 1])):
    assert abs(np.corrcoef(found, wanted)[0, 1]) > 0.999
  assert figure.alone
  assert len(figure.series) == 12


def test_planes_of_different_seeds_are_not_laid_over_each_other(tmp_path):
  planes = [classification.feature_plane(RNG.normal(size=(30, 4)), np.zeros(30, int), num_classes=1) for _ in range(2)]
  made = page(tmp_path, *planes)
  assert made.count("<h3>Features in two dimensions</h3>") == 1
  assert "Shown: the first seed." in made


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("num", [0, 2, 3, 40])
def test_few_and_broken_features_are_left_out(num, method):
  features = RNG.normal(size=(num, 5))
  features[:1] = np.nan
  made = classification.feature_plane(features, np.zeros(num, int), num_classes=2, method=method)
  assert len(made) == (num - 1 >= 3)
  assert all(isinstance(figure, Figure) and len(figure.series[0].x) == num - 1 for figure in made)


def test_facts_of_every_seed_are_named(tmp_path):
  made = page(tmp_path, *(classification.calibration(records([0], [0], [c]), "test") for c in (0.75, 0.5)))
  assert "Expected calibration error 0.25 · 0.5." in made
