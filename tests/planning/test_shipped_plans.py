"""The recipes that are for accelerators, by the accelerators' compilers (make_plans.py, beside this file)."""

import ast
import importlib.util
import json
import os
import pathlib
import re

import make_plans
import pytest

from research import command_line
from research.planning import devices

TABLE = json.loads(make_plans.FILE.read_text())


def test_the_table_is_of_the_rows_that_are_compiled():
  assert set(TABLE) <= set(make_plans.ROWS)
  for name, row in TABLE.items():
    assert [row[key] for key in ("experiment", "member", "device", "changes")] == list(make_plans.ROWS[name])
    chip = devices.CHIPS[devices.parse(row["device"]).chip]
    assert row["fits"] == (row["peak_gib"] * 2**30 <= chip.memory * 1.001), name
  assert {row["fits"] for row in TABLE.values()} == {True, False}


def test_every_recipe_for_a_tpu_fits_one():
  named = {name for name, path in command_line.experiments().items()
           if re.search(r"hours? on a TPU", ast.get_docstring(ast.parse(path.read_text())) or "")}
  rows = {name: experiment for name, (experiment, _, device, _) in make_plans.ROWS.items()
          if devices.CHIPS[devices.parse(device).chip].platform == "tpu"}
  assert named <= set(rows.values())
  assert {rows[name] for name in rows if name in TABLE and not TABLE[name]["fits"]} == {"llama_8b"}  # written for GPUs


@pytest.mark.heavy
@pytest.mark.parametrize("name", make_plans.ROWS)
def test_it_compiles_as_the_table_says(name):
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs the extra `plan`")
  data = os.environ.get("FIELDWORK_DATA", str(pathlib.Path(__file__).parents[3] / "shared" / "data"))
  made, kept = make_plans.make(name, data), TABLE.get(name)
  if made.get("problem", "").startswith("text/"):
    pytest.skip(f"no real data: {made['problem']}")
  if kept is None:
    pytest.fail(f"not in the table yet: {made}")
  assert made["fits"] == kept["fits"] and made["parameters"] == kept["parameters"]
  assert made["peak_gib"] == pytest.approx(kept["peak_gib"], rel=0.05)
