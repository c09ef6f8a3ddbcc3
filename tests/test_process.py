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


def test_wide_vectors_are_asked_for_where_the_processor_has_them_and_the_user_says_nothing(monkeypatch):
  monkeypatch.setattr(process.pathlib.Path, "exists", lambda self: True)
  for flags, processor, wanted in (("", "fma avx512f avx512dq", "--xla_cpu_prefer_vector_width=512"), ("", "fma avx2", ""),
                                   ("--a=1", " avx512f ", "--a=1 --xla_cpu_prefer_vector_width=512"),
                                   ("--xla_cpu_prefer_vector_width=128", " avx512f ", "--xla_cpu_prefer_vector_width=128")):
    monkeypatch.setattr(process.pathlib.Path, "read_text", lambda self, text=f"flags : {processor} x\n": text)
    monkeypatch.setenv("XLA_FLAGS", flags)
    process.widen_vectors()
    assert os.environ["XLA_FLAGS"] == wanted


def test_devices_and_float64_reach_jax():
  code = ("from research import process; process.apply_settings({'x64': True, 'devices': 3}); import jax; "
          "assert jax.device_count() == 3 and jax.numpy.zeros(1).dtype == 'float64'")
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True,
                 env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"})


def test_settings_after_jax_are_a_mistake():
  import jax  # noqa: F401

  with pytest.raises(RuntimeError):
    process.apply_settings({"x64": True})
