"""The results table is made of records and of nothing else."""

import pathlib

import pytest

from research import command_line, records

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()


def test_the_readme_shows_what_the_records_say():
  made = records.with_table(README, records.read_all(), command_line.load_all(), records.read_deviating())
  assert made == README, "make it anew: python launch.py --experiment=NAME --mode=record"


@pytest.mark.parametrize("edit", [lambda t: t.replace("REPRODUCED", "MISSED", 1), lambda t: t.replace("| ", "|  ", 1)])
def test_an_edited_cell_is_noticed(edit):
  before, table = README.split("<!-- results", 1)
  edited = before + "<!-- results" + edit(table)
  assert edited != README
  assert records.with_table(edited, records.read_all(), command_line.load_all(), records.read_deviating()) != edited


def test_records_name_no_place_of_the_machine_they_were_made_on():
  for path in records.FOLDER.rglob("*.json"):
    text = path.read_text()
    assert "/root" not in text and "/home" not in text and "/tmp" not in text, path.name
    assert '"git": "unknown"' not in text


def test_a_record_of_other_settings_is_listed_as_older():
  kept, experiment = records.read_all(), command_line.load_all()["quickstart"]
  record = {**kept["quickstart"], "config_hash": records.config_hash(experiment)}
  assert "older settings" not in records.table({"quickstart": record}, {"quickstart": experiment}, {})
  older = {"quickstart": {**record, "config_hash": "0" * 12}}
  assert "older settings" in records.table(older, {"quickstart": experiment}, {})


def test_an_experiment_without_a_record_is_listed_as_not_run():
  experiment = command_line.load_all()["quickstart"]
  row = records.table({}, {"quickstart": experiment}, {}).splitlines()[-1]
  assert "NOT RUN" in row and "REPRODUCED" not in row


def test_a_run_that_deviates_is_shown_where_there_is_no_other_and_says_how():
  experiments = {"quickstart": command_line.load_all()["quickstart"]}
  record = records.read_all()["quickstart"]
  shorter = {**record, "verdict": "NOT COMPARABLE", "deviations": ["steps=5"], "config_hash": "0" * 12}
  row = records.table({}, experiments, {"quickstart": shorter}).splitlines()[-1]
  assert "**NOT COMPARABLE**" in row and "; steps=5" in row and "older" not in row
  assert records.table({"quickstart": record}, experiments, {"quickstart": shorter}) == records.table(
      {"quickstart": record}, experiments, {})


def test_records_of_deviating_runs_say_not_comparable():
  for name, record in records.read_deviating().items():
    assert record["experiment"] == name and record["deviations"]
    assert {target["verdict"] for target in record["targets"]} == {"NOT COMPARABLE"}
