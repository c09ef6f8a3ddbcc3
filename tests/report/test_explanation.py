"""What a report shows of explanations says what the maps say."""

import numpy as np

from research.figures import Shaded, Table
from research.report import explanation
from research.report.cards import grid
from research.studies.base import Findings


def test_red_speaks_for_and_blue_against_and_nothing_leaves_the_picture_grey():
  weights = np.zeros((4, 6))
  weights[0, 0], weights[3, 5] = 2.0, -2.0
  pixels = explanation.overlay(np.full((4, 6, 1), 100, np.uint8), weights)
  side = len(pixels) // 4
  red, blue, grey = pixels[0, 0].astype(int), pixels[-1, -1].astype(int), pixels[2 * side, 3 * side].astype(int)
  assert pixels.shape[:2] == (4 * side, 6 * side) and side > 1
  assert red[0] > red[2] + 80 and blue[2] > blue[0] + 80 and np.ptp(grey) == 0


def test_pictures_are_made_of_images_and_spectrograms_and_of_nothing_else():
  assert explanation.picture_of(np.zeros((5, 7, 3), np.uint8), 2).shape == (5, 7, 3)
  low, high = explanation.picture_of(np.array([[-1.0, 3.0]]), 2).ravel()
  assert (low, high) == (0, 255)
  assert explanation.picture_of(np.zeros((5, 7, 8)), 2) is None and explanation.picture_of(np.zeros(9), 1) is None
  time_by_frequency = np.arange(6).reshape(3, 2)
  assert explanation.upright(time_by_frequency).tolist() == [[1, 3, 5], [0, 2, 4]]  # high frequencies on top


def test_tokens_are_shaded_by_their_share_of_the_largest_and_padding_is_left_out():
  answer = {"words": "1: x", "segments": [("source", ["a", "<b>", "pad"]), ("targets", ["c"])], "counts": [1, 1, 0, 1],
            "maps": {"gradient": [1.0, -2.0, 9.0, 0.5]}}
  (table,) = explanation.texts([answer], ["gradient"])
  assert table.rows == (("gradient", Shaded((("a", 0.5), ("<b>", -1.0))), Shaded((("c", 0.25),))),)
  page = grid({"": Findings(metrics={}, figures=(table,))})
  assert 'class="shaded more" style="--weight: 50%">a<' in page
  assert 'class="shaded less" style="--weight: 100%">&lt;b&gt;<' in page


def test_the_table_of_verdicts_has_every_method():
  its = {"mean": 0.5, "low": 0.25, "high": 0.75}
  summary = {"gradient": {"deletion": its, "verdict": "faithful", "rank correlation after forgetting": {
      "from the top to head": its, "only head": its}}, "random": {"deletion": its}}
  table, top, alone, missing = explanation.faithfulness(summary, {"grad_cam": "no map"})
  assert isinstance(table, Table) and table.rows == (
      ("gradient", "faithful", "0.500 (0.250 to 0.750)"), ("random", "", "0.500 (0.250 to 0.750)"))
  assert top.series[0].y == alone.series[0].y == (0.5,) and missing.rows == (("grad cam", "no map"),)
