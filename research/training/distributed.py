"""Several processes that train together: found by itself on Cloud TPU VMs and under Slurm, by flags elsewhere."""

import importlib.util
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from research.config import ConfigError, UserError


def initialize(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
  """Joins the processes; does nothing where this one is alone. Must run before any device is used.

  Raises:
    ConfigError: some of the three flags are given, but not all.
  """
  given = [coordinator, num_processes, process_id]
  if any(g is not None for g in given):
    if coordinator is None or num_processes is None or process_id is None:
      raise ConfigError("--coordinator, --num_processes and --process_id are given together or not at all")
    if not 0 <= process_id < num_processes:
      raise ConfigError(f"--process_id={process_id}: must be from 0 to num_processes - 1 = {num_processes - 1}")
    jax.distributed.initialize(coordinator, num_processes, process_id)
  elif ("SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1) or _on_tpu_vm():
    jax.distributed.initialize()


def from_first(choose: Callable[[], int | None]) -> int | None:
  """What process 0 chooses (or does), on every process, once it is done. All of them call this at the same point.

  Raises:
    UserError: on the other processes, where `choose` fails on process 0. Alone they would wait for it forever.
  """
  if jax.process_count() == 1:
    return choose()
  failure, choice = None, None
  if jax.process_index() == 0:
    try:
      choice = choose()
    except (UserError, OSError) as error:
      failure = error
  code = _FAILED if failure is not None else _NOTHING if choice is None else choice
  code = int(multihost_utils.broadcast_one_to_all(np.int32(code)))
  if failure is not None:
    raise failure
  if code == _FAILED:
    raise UserError("process 0 could not go on; its output says why")
  return None if code == _NOTHING else code


_NOTHING, _FAILED = -1, -2


def _on_tpu_vm() -> bool:
  chips = [*pathlib.Path("/dev").glob("accel[0-9]*"), *pathlib.Path("/dev").glob("vfio/[0-9]*")]
  return bool(chips) and importlib.util.find_spec("libtpu") is not None and os.environ.get("JAX_PLATFORMS", "tpu") != "cpu"
