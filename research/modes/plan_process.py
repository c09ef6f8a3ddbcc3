"""A compiler in a process of its own: what is sent there comes back compiled, or as a line that says why not."""

import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
from typing import Any

from research import process
from research.planning import compute, topologies
from research.planning.compute import Compiled
from research.planning.devices import CHIPS, Device
from research.training.interruption import Interruption

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class Compiler:
  """Compiles an experiment's step in a process that is started when it is needed, and again when it has crashed.

  Args:
    job: what research/modes/plan_worker.py reads: path, config, member, data_dir.
    interruption: whether somebody wants this process to end; the other then ends with it.
  """

  def __init__(self, job: dict[str, Any], interruption: Interruption):
    self._job, self._interruption = job, interruption
    self._process: subprocess.Popen | None = None
    self._environment: dict[str, str] = {}
    self._folder = tempfile.TemporaryDirectory()
    self._log = pathlib.Path(self._folder.name) / "log"
    (pathlib.Path(self._folder.name) / "job.json").write_text(json.dumps(job))

  def __enter__(self) -> "Compiler":
    return self

  def __exit__(self, *_) -> None:
    self._end()
    self._folder.cleanup()

  def __call__(self, device: Device, changes: dict[str, Any]) -> Compiled | str:
    """The step compiled, or one line on why it is not. Raises Interrupted."""
    environment = _environment(device, pathlib.Path(self._job["path"]))
    if self._process is None or environment != self._environment:
      self._start(environment)
    request = {"device": device.name, "changes": changes}
    assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
    self._process.stdin.write(json.dumps(request).encode() + b"\n")
    self._process.stdin.flush()
    while not select.select([self._process.stdout], [], [], 0.2)[0]:
      self._interruption.raise_if_requested()
    line = self._process.stdout.readline()
    if not line:
      return self._crash()
    answer = json.loads(line)
    if "problem" in answer:
      return answer["problem"]
    return compute.read(answer["compiled"])

  def _start(self, environment: dict[str, str]) -> None:
    self._end()
    self._environment = environment
    self._process = subprocess.Popen(
        [sys.executable, "-m", "research.modes.plan_worker", f"{self._folder.name}/job.json"], cwd=_ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.open("wb"), start_new_session=True)

  def _end(self) -> None:
    if self._process is not None:
      self._process.kill()
      self._process.communicate()
      self._process = None

  def _crash(self) -> str:
    assert self._process is not None
    code = self._process.wait()
    self._process = None
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    words = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
    return f"the compiler's process {how}" + (f"; its last words: {words[-1][:200]}" if words else "")


def _environment(device: Device, path: pathlib.Path) -> dict[str, str]:
  """What must be set before jax starts there."""
  settings, found = process.read_settings(path), dict(os.environ)
  found["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), found.get("PYTHONPATH"))))
  if settings.get("x64"):
    found["JAX_ENABLE_X64"] = "1"
  if not device.chip:
    if "platform" not in settings:  # launch.py keeps the plan itself off the devices
      found.pop("JAX_PLATFORMS", None)
    return found
  found.update(topologies.ENVIRONMENT)
  if CHIPS[device.chip].platform == "cpu":
    flags = [f for f in found.get("XLA_FLAGS", "").split() if not f.startswith("--xla_force_host_platform_device_count")]
    found["XLA_FLAGS"] = " ".join([*flags, f"--xla_force_host_platform_device_count={device.num_devices}"])
  if not found.get("XLA_FLAGS", "").strip():
    found.pop("XLA_FLAGS", None)  # an empty one ends the CUDA plugin's process
  return found
