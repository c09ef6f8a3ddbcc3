"""The results table is made of records and of nothing else."""

import pathlib

import pytest

from research import command_line, records

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()


def test_the_readme_shows_what_the_records_say():
  made = records.with_table(README, records.read_all(), command_line.config_hashes())
  assert made == README, "make it anew: python launch.py --experiment=NAME --mode=record"


@pytest.mark.parametrize("edit", [lambda t: t.replace("REPRODUCED", "MISSED", 1), lambda t: t.replace("| ", "|  ", 1)])
def test_an_edited_cell_is_noticed(edit):
  before, table = README.split("<!-- results", 1)
  edited = before + "<!-- results" + edit(table)
  assert edited != README
  assert records.with_table(edited, records.read_all(), command_line.config_hashes()) != edited


def test_records_name_no_place_of_the_machine_they_were_made_on():
  for path in records.FOLDER.glob("*.json"):
    text = path.read_text()
    assert "/root" not in text and "/home" not in text and "/tmp" not in text, path.name
    assert '"git": "unknown"' not in text


def test_a_record_of_other_settings_is_listed_as_older():
  kept, hashes = records.read_all(), command_line.config_hashes()
  name = next(iter(kept))
  assert "older settings" not in records.table({name: kept[name]}, {name: kept[name]["config_hash"]})
  assert "older settings" in records.table({name: kept[name]}, {**hashes, name: "0" * 12})
