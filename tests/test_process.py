"""What is set before jax starts."""

import os
import pathlib
import subprocess
import sys

import pytest

from research import process

ROOT = pathlib.Path(__file__).parent.parent


def test_settings_are_read_without_importing_the_file(tmp_path):
  path = tmp_path / "x.py"
  path.write_text('raise SystemExit\nPROCESS = {"x64": True, "devices": 4}\n')
  assert process.read_settings(path) == {"x64": True, "devices": 4}
  path.write_text("x = 1\n")
  assert process.read_settings(path) == {}


@pytest.mark.parametrize("text", ['PROCESS = {"x64": 1}', 'PROCESS = {"x65": True}', "PROCESS = dict(x64=True)"])
def test_what_is_no_literal_setting_is_refused(tmp_path, text):
  path = tmp_path / "x.py"
  path.write_text(text)
  with pytest.raises(ValueError):
    process.read_settings(path)


def test_devices_and_float64_reach_jax():
  code = ("from research import process; process.apply_settings({'x64': True, 'devices': 3}); import jax; "
          "assert jax.device_count() == 3 and jax.numpy.zeros(1).dtype == 'float64'")
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True,
                 env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"})


def test_settings_after_jax_are_a_mistake():
  import jax  # noqa: F401

  with pytest.raises(RuntimeError):
    process.apply_settings({"x64": True})
