"""Studies of summaries that need no model: on planted texts, and on the real ones."""

import gzip
import json

import numpy as np
import pytest
from parts import InMemory

from experiments import aeslc_baselines, scitldr_extractive
from research import config
from research.config import ConfigError
from research.data.examples import DataError
from research.metrics.summarization import Rouge
from research.studies.summaries import score

STUDIES = [aeslc_baselines, scitldr_extractive]


def write(folder, path, rows):
  (folder / path).parent.mkdir(parents=True)
  with gzip.open(folder / path, "wt") as file:
    file.writelines(json.dumps(row) + "\n" for row in rows)


def test_several_writers_have_their_mean_and_metrics_their_intervals_and_signatures():
  systems = {"same": [["a b", "c d"]], "people": [["a b", "x"], ["x", "c d"]]}
  rows, found = score(systems, [["a b"], ["c d"]], Rouge(), InMemory())
  assert found.metrics["same/rouge1"] == 100 and found.metrics["people/rouge1"] == found.metrics["people/rougeL"] == 50
  np.testing.assert_array_equal(rows["people"]["rouge2"], [[0.5, 1], [0.5, 1]])
  assert found.intervals["same/rouge2"] == (100, 100)
  assert set(found.signatures) == set(found.metrics) == set(found.intervals)


def test_scitldr_takes_the_best_sentence_and_the_best_reference(tmp_path):
  write(tmp_path, "text/scitldr_a/test.jsonl.gz", [
      {"source": ["nothing alike", "cats sleep all day"], "target": ["dogs bark", "cats sleep all day"]},
      {"source": ["dogs bark at night"], "target": ["dogs bark at night", "dogs bark"]}])
  found = scitldr_extractive.experiment().measure(0, InMemory(tmp_path)).metrics
  assert found["first/rouge1"] == 50
  assert found["oracle_set/rouge1"] == found["oracle_rouge1/rougeL"] == found["greedy/rouge2"] == 100
  assert found["first_mean/rouge1"] == pytest.approx((0 + (100 + 200 / 3) / 2) / 2)


def test_aeslc_compares_lines_and_people_and_shows_no_mail(tmp_path):
  mail = {"body": "meeting today\nat noon", "subject": "meeting today at noon", "annotations": ["meeting", "at noon", "lunch"]}
  write(tmp_path, "text/aeslc/dev.jsonl.gz", [mail, mail])
  found = aeslc_baselines.experiment().measure(0, InMemory(tmp_path))
  assert found.metrics["first_line/rouge1"] == pytest.approx(200 / 3) and found.metrics["first_two_lines/rouge1"] == 100
  assert found.metrics["human/rouge1"] == pytest.approx(100 * (2 / 5 + 2 / 3) / 3)
  assert "noon" not in json.dumps(config.to_json(found))


@pytest.mark.parametrize("module", STUDIES)
def test_missing_data_are_one_line_before_any_work(module, tmp_path):
  for folder in (None, tmp_path):
    with pytest.raises(DataError, match=r"\.jsonl\.gz"):
      module.experiment().check(folder)


def test_a_protocol_without_several_references_is_refused():
  for change in ({"rouge.several": "None"}, {"rouge.types": "rouge2", "rouge.several": "mean"}):
    with pytest.raises(ConfigError, match="rouge"):
      config.override(scitldr_extractive.experiment(), change)


@pytest.mark.heavy
@pytest.mark.parametrize("module", STUDIES)
def test_targets_that_gate_are_met_on_the_real_texts(module, data_dir):
  study = module.experiment()
  found = study.measure(0, InMemory(data_dir))
  for target in study.targets:
    assert target.criterion.holds(found.metrics[target.metric]), target.metric
    assert found.signatures.get(target.metric, "") == target.signature
