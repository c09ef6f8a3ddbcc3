"""The persistent compilation cache: a step that was compiled once is not compiled again."""

import hashlib
import os
import pathlib
import platform

import jax


def enable() -> None:
  """Turns it on, in a folder of ours where JAX_COMPILATION_CACHE_DIR names none.

  JAX_ENABLE_COMPILATION_CACHE=0 turns it off.
  """
  if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    return
  # Code compiled for one processor may hold instructions another lacks, and a home folder may be shared by both.
  folder = pathlib.Path("~/.cache/fieldwork").expanduser() / f"{jax.__version__}-{_processor()}"
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _processor() -> str:
  try:
    flags = next(line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
  except (OSError, StopIteration):
    flags = platform.processor()
  return hashlib.sha256(f"{platform.machine()} {flags}".encode()).hexdigest()[:8]
