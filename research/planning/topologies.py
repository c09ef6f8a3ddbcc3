"""Devices that are not there, described well enough for the compiler: libtpu's topologies and the CUDA plugin's targets.

Only for a process of its own: a compiler may end it, and what these need of the environment must be set before jax starts.
"""

import importlib.util
from typing import Any

import jax
from jax.experimental import topologies

from research.config import ConfigError
from research.planning.devices import CHIPS, Device

# Before jax is imported. No real device is looked for, and several planners may share a machine.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
               "CUDA_VISIBLE_DEVICES": "-1"}
_NEEDS = {"tpu": "libtpu", "gpu": "jax_plugins.xla_cuda13"}

# What XLA's compiler asks of a GPU: (capability, multiprocessors, shared memory of a block, of a multiprocessor, second-level
# cache, clock in GHz, bytes of memory, bytes a second). From openxla/xla, xla/backends/gpu/target_config/specs.
_GPUS = {
    "a100": ((8, 0), 108, 166912, 167936, 41943040, 1.41, 85100068864, 2039040000000, "NVIDIA A100-SXM4-80GB"),
    "a100_40": ((8, 0), 108, 166912, 167936, 41943040, 1.41, 42331013120, 1555200000000, "NVIDIA A100-SXM4-40GB"),
    "h100": ((9, 0), 132, 232448, 233472, 52428800, 1.98, 84942979072, 3352320000000, "NVIDIA H100 80GB HBM3"),
    "h200": ((9, 0), 132, 232448, 233472, 52428800, 1.98, 151397597184, 4800000000000, "NVIDIA H200 141GB HBM3e"),
    "b200": ((10, 0), 148, 232448, 233472, 132644864, 1.965, 191514411008, 7672320000000, "NVIDIA B200"),
}


def check(device: Device) -> None:
  """Raises ConfigError if the compiler for a device is not installed."""
  needs = _NEEDS.get(CHIPS[device.chip].platform) if device.chip else None
  try:
    missing = needs is not None and importlib.util.find_spec(needs) is None
  except ModuleNotFoundError:
    missing = True
  if missing:
    raise ConfigError(f"--plan.device={device.name} needs {needs}: install the extra `plan` (pip install -e '.[plan]', or uv "
                      "run --extra plan launch.py ...)")


def devices(device: Device) -> list[Any]:
  """Its jax devices, real or described. Raises ConfigError where there is no such slice."""
  if not device.chip:
    return jax.devices()
  platform = CHIPS[device.chip].platform
  if platform == "cpu":
    return jax.devices("cpu")[:device.num_devices]
  try:
    return list((_tpu if platform == "tpu" else _gpu)(device).devices)
  except Exception as error:  # each plugin has its own way of refusing
    raise ConfigError(f"--plan.device={device.name}: the compiler knows no such slice ({' '.join(str(error).split())[:200]})"
                      ) from error


def _tpu(device: Device):
  more = {}
  if device.chip == "v4":
    more["chip_config_name"] = "megacore"
  if device.num_chips == 1:
    more["chips_per_host_bounds"] = (1, 1, 1)
  elif device.shape == (2, 4):  # a host of 8 chips
    more["chips_per_host_bounds"] = (2, 4, 1)
  return topologies.get_topology_desc(platform="tpu", topology_name=f"{device.chip}:{'x'.join(map(str, device.shape))}", **more)


def _gpu(device: Device):
  hosts, each = max(1, device.num_chips // 8), min(8, device.num_chips)
  if hosts * each != device.num_chips:
    raise ValueError(f"{device.num_chips} GPUs are no hosts of 8")
  return topologies.get_topology_desc(platform="cuda", topology=f"1x{hosts}x{each}", target_config=_target(device.chip))


def _target(chip: str) -> str:
  (major, minor), cores, block, core, cache, clock, memory, bandwidth, name = _GPUS[chip]
  return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  core_count: {cores}
  shared_memory_per_block_optin: {block}
  shared_memory_per_core: {core}
  l2_cache_size: {cache}
  clock_rate_ghz: {clock}
  device_memory_size: {memory}
  memory_bandwidth: {bandwidth}
  fpus_per_core: {64 if major == 8 else 128}
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 13 minor: 0 }}
device_description_str: "{name}"
"""
