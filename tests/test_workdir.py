"""What a working directory knows of its runs."""

import types

import pytest
from etils import epath

from research.studies.base import Findings
from research.workdir import Run, measured, spent


def test_the_time_of_processes_that_were_killed_is_counted_by_what_they_saved(tmp_path):
  run = Run(epath.Path(tmp_path), None, None)  # ty: ignore[invalid-argument-type]
  saved = Findings(metrics={"a": 1.0}, seconds={"step": 40.0, "compile": 2.0})  # of a process that ended without a word
  found = measured(types.SimpleNamespace(measure=lambda seed, run: saved), 0, run)
  assert spent(run, found) == pytest.approx(42)
  (tmp_path / "seconds.json").write_text("50.0")
  assert spent(run, found) == 50
