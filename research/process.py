"""What must be set before jax starts, and the cores there are. Standard library only.

On Linux CPU hosts glibc hands every large temporary back to the kernel, so that each training step faults its pages in
again. `tune_allocator` makes it keep them, which makes a step of a large network 1.3 to 2 times as fast
(tests/benchmarks/allocator.py). FIELDWORK_ALLOCATOR=off turns it off.
"""

import ast
import ctypes
import os
import pathlib
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_SETTINGS = {"x64": bool, "devices": int, "platform": str}


def tune_allocator() -> None:
  """Lets malloc keep freed memory. Must run before the first large allocation; does nothing outside glibc."""
  if os.environ.get("FIELDWORK_ALLOCATOR") == "off" or sys.platform != "linux":
    return
  try:
    mallopt = ctypes.CDLL("libc.so.6").mallopt
  except (OSError, AttributeError):
    return  # musl and others have no such call, and no such trouble
  mallopt(_M_MMAP_MAX, 0)
  mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
  mallopt(_M_ARENA_MAX, 1)


def widen_vectors() -> None:
  """Lets XLA use vectors of 512 bits where a Linux CPU has them: with its own 256, GELU is 1.2 to 1.4 times as slow.

  Must run before jax starts. What the user's XLA_FLAGS say of it stays.
  """
  flag, info = "--xla_cpu_prefer_vector_width", pathlib.Path("/proc/cpuinfo")
  flags = os.environ.get("XLA_FLAGS", "")
  if flag not in flags and info.exists() and " avx512f " in info.read_text():
    os.environ["XLA_FLAGS"] = f"{flags} {flag}=512".strip()


def cores() -> int:
  """How many this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_settings(path: pathlib.Path) -> dict:
  """Reads an experiment file's literal `PROCESS = {...}` without importing the file; {} where it has none.

  Raises:
    ValueError: it is not a literal, or names a setting that does not exist.
    SyntaxError: the file is not Python.
  """
  for node in ast.parse(path.read_text(), str(path)).body:
    if isinstance(node, ast.Assign) and [getattr(t, "id", None) for t in node.targets] == ["PROCESS"]:
      settings = ast.literal_eval(node.value)
      wrong = [k for k, v in settings.items() if type(v) is not _SETTINGS.get(k)]
      if wrong:
        raise ValueError(f"{path.name}: PROCESS may hold x64 (bool), devices (int), platform (str); not {wrong[0]!r}")
      return settings
  return {}


def apply_settings(settings: dict) -> None:
  """Sets the environment that jax reads when it is first imported. Values the user has exported win for the platform.

  Raises:
    RuntimeError: jax is imported already.
  """
  if "jax" in sys.modules and settings:
    raise RuntimeError("process settings must be applied before jax is imported")
  if settings.get("x64"):
    os.environ["JAX_ENABLE_X64"] = "1"
  if "platform" in settings:
    os.environ.setdefault("JAX_PLATFORMS", settings["platform"])
  if "devices" in settings:
    flags = os.environ.get("XLA_FLAGS", "").split()
    flags = [f for f in flags if not f.startswith("--xla_force_host_platform_device_count")]
    os.environ["XLA_FLAGS"] = " ".join([*flags, f"--xla_force_host_platform_device_count={settings['devices']}"])
