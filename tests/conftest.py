"""Fixtures that all tests share."""

import os
import pathlib

import pytest

# Before jax is imported: tests of sharding need several devices, and most programs are run once, so that the compiler's last
# optimization costs more than it saves: half of all time. Processes that tests start set their own.
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()


def pytest_addoption(parser):
  parser.addoption("--heavy", action="store_true", help="also run the tests marked heavy")


def pytest_collection_modifyitems(config, items):
  if not config.getoption("--heavy"):
    for item in items:
      if item.get_closest_marker("heavy"):
        item.add_marker(pytest.mark.skip(reason="heavy: give --heavy"))


@pytest.fixture
def data_dir() -> pathlib.Path:
  """The folder with real data; skips the test where there is none."""
  folder = pathlib.Path(os.environ.get("FIELDWORK_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data"))
  if not folder.is_dir():
    pytest.skip("no real data: set FIELDWORK_DATA to the folder that holds them")
  return folder
