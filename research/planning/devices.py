"""Devices that a plan can be made for: what a chip can do, holds, draws and costs, and how many of them there are.

A device is named as `cpu`, `h100`, `h100:8`, `v5e:2x4`: a chip and how many, for a TPU the shape of the slice. `host` is what
this process would train on.
"""

import dataclasses
import json
import math
import pathlib
import re
from typing import Literal

from research.config import ConfigError, did_you_mean
from research.flops import PEAKS

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """What is rented as one.

  Attributes:
    platform: jax's name of it.
    kind: its name in flops.PEAKS; "" of a CPU, which is measured.
    memory: bytes that XLA may use on one of its devices, found by what its compiler refuses; of GPUs jax's default of 75 % of
      the memory is not taken off, as it can be set (XLA_PYTHON_CLIENT_MEM_FRACTION).
    devices: jax devices that it is.
    float32: operations a second of float32 products at jax's default precision: TPUs take one pass in bfloat16, NVIDIA's
      GPUs TensorFloat-32.
    float64: likewise; None where it is emulated.
    link: bytes a second that leave it for its neighbours, all links, one direction.
    slices: the shapes it can be had in, smallest first.
    dollars: list price of an hour; None where there is no public one.
    watts: None where the maker publishes none.
    estimated: which of price and power nobody publishes.
    source: of price, power and links, with a date.
  """

  platform: Literal["cpu", "tpu", "gpu"]
  kind: str
  memory: float = math.nan
  devices: int = 1
  float32: float = math.nan
  float64: float | None = None
  link: float = math.nan
  slices: tuple[str, ...] = ()
  dollars: float | None = None
  watts: float | None = None
  estimated: tuple[Literal["dollars", "watts"], ...] = ()
  source: str = ""


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")
_GPUS = ("1", "2", "4", "8", "16", "32", "64")
# Of a bidirectional bandwidth, which is what is published, one direction is half. Where none is, a chip's share of its pod's
# all-reduce stands for its links: of v5e and v6e both are published, and the two agree.
_PRICE = "price: Google's list, on demand, US, as in SkyPilot's catalog v8 (006059e, seen in November 2026)"
_DOCS = "Cloud TPU documentation, November 2026, "
_SHEET = "data sheet, as quoted in November 2026"
_LINKS = "a chip's share of the pod's all-reduce bandwidth"
_AWS = "price: AWS EC2, on demand, US East, an eighth of"


def _gpu(kind: str, gib: float, tf32: float, float64: float, link: float, watts: float, dollars: float, source: str) -> Chip:
  return Chip(platform="gpu", kind=kind, memory=gib * _GIB, float32=tf32, float64=float64, link=link, watts=watts, slices=_GPUS,
              dollars=dollars, source=source)


CHIPS: dict[str, Chip] = {
    "v3": Chip(platform="tpu", kind="TPU v3", memory=15.48 * _GIB, devices=2, float32=123e12, link=332e9, watts=220,
               slices=("2x2", "4x4", "4x8", "8x8", "8x16", "16x16"), dollars=2.00,
               source=f"{_DOCS}v3 (mean power; links: {_LINKS}); price: Google's list, on demand, US, 2022"),
    "v4": Chip(platform="tpu", kind="TPU v4", memory=30.75 * _GIB, float32=275e12, link=270e9, watts=170, slices=_CUBES,
               dollars=3.22, source=f"{_DOCS}v4 (mean power); links: six of 45 GB/s, How to Scale Your Model, 2025; {_PRICE}"),
    "v5e": Chip(platform="tpu", kind="TPU v5e", memory=15.75 * _GIB, float32=197e12, link=200e9, slices=_FLAT, dollars=1.20,
                source=f"{_DOCS}v5e; {_PRICE}"),
    "v5p": Chip(platform="tpu", kind="TPU v5", memory=95.74 * _GIB, float32=459e12, link=600e9, slices=_CUBES, dollars=4.20,
                source=f"{_DOCS}v5p; {_PRICE}"),
    "v6e": Chip(platform="tpu", kind="TPU v6e", memory=31.25 * _GIB, float32=918e12, link=400e9, slices=_FLAT, dollars=2.70,
                source=f"{_DOCS}v6e; {_PRICE}"),
    "tpu7x": Chip(platform="tpu", kind="TPU7x", memory=94.75 * _GIB, devices=2, float32=2307e12, link=600e9, slices=_CUBES,
                  dollars=12.00, estimated=("dollars",),
                  source=f"{_DOCS}tpu7x; price: from memory, none was found published by May 2026"),
    "a100": _gpu("A100-SXM4-80GB", 79.26, 156e12, 19.5e12, 300e9, 400, 3.431,
                 f"NVIDIA A100 {_SHEET}; {_AWS} p4de.24xlarge, 2026-11-09"),
    "a100_40": _gpu("A100-SXM4-40GB", 39.42, 156e12, 19.5e12, 300e9, 400, 2.745,
                    f"NVIDIA A100 {_SHEET}; {_AWS} p4d.24xlarge, 2026-11-09"),
    "h100": _gpu("H100 80GB HBM3", 79.11, 494.5e12, 67e12, 450e9, 700, 6.88,
                 f"NVIDIA H100 {_SHEET}; {_AWS} p5.48xlarge, 2026-11-09"),
    "h200": _gpu("H200", 141.0, 494.5e12, 67e12, 450e9, 700, 7.912,
                 f"NVIDIA H200 {_SHEET}; {_AWS} p5en.48xlarge, 2026-08-06"),
    "b200": _gpu("B200", 178.36, 1100e12, 40e12, 900e9, 1000, 14.24,
                 f"NVIDIA Blackwell architecture brief, HGX B200 at 1000 W, 2024; {_AWS} p6-b200.48xlarge, 2026-06"),
    "cpu": Chip(platform="cpu", kind=""),
}


@dataclasses.dataclass(frozen=True)
class Device:
  """Chips of a kind, joined.

  Attributes:
    chip: its name in CHIPS; "" for what this host has.
    shape: of a TPU's slice (columns, rows, ...); of others (how many,).
  """

  chip: str
  shape: tuple[int, ...] = (1,)

  @property
  def name(self) -> str:
    if not self.chip:
      return "host"
    return self.chip if self.shape == (1,) else f"{self.chip}:{'x'.join(map(str, self.shape))}"

  @property
  def num_chips(self) -> int:
    return math.prod(self.shape)

  @property
  def num_devices(self) -> int:
    return self.num_chips * CHIPS[self.chip].devices

  def larger(self) -> tuple["Device", ...]:
    """The slices of this chip with more of them, smallest first."""
    return tuple(d for d in map(self._of, CHIPS[self.chip].slices) if d.num_chips > self.num_chips) if self.chip else ()

  def smaller(self) -> tuple["Device", ...]:
    """Those with fewer, smallest first."""
    return tuple(d for d in map(self._of, CHIPS[self.chip].slices) if d.num_chips < self.num_chips) if self.chip else ()

  def _of(self, shape: str) -> "Device":
    return Device(self.chip, tuple(map(int, shape.split("x"))))


def parse(name: str) -> Device:
  """Reads a device's name. Raises ConfigError if there is none such, with those there are."""
  if name == "host":
    return Device("")
  chip, _, shape = name.partition(":")
  if chip not in CHIPS:
    raise ConfigError(f"--plan.device={name}: there is no such device{did_you_mean(chip, CHIPS)}; there are host, "
                      f"{', '.join(CHIPS)}")
  known = CHIPS[chip].slices
  if CHIPS[chip].platform == "tpu":
    shape = shape or known[0]
    dims = known[0].count("x") + 1
    if not re.fullmatch("x".join([r"[1-9]\d*"] * dims), shape):
      raise ConfigError(f"--plan.device={name}: a slice of {chip} is written as {chip}:{known[0]}, {chip}:{known[1]}, ...")
    return Device(chip, tuple(map(int, shape.split("x"))))
  if not re.fullmatch(r"[1-9]\d*", shape or "1"):
    raise ConfigError(f"--plan.device={name}: how many is written as {chip}:8")
  return Device(chip, (int(shape or 1),))


def with_prices(path: str | None) -> dict[str, Chip]:
  """The chips with the user's own prices and powers: {"v5e": {"dollars": 0.6, "watts": 180}, ...}.

  Raises:
    ConfigError: the file is not there or not of that form.
  """
  if path is None:
    return CHIPS
  try:
    given = json.loads(pathlib.Path(path).expanduser().read_text())
  except (OSError, ValueError) as error:
    raise ConfigError(f"--plan.prices={path}: {' '.join(str(error).split())}") from None
  chips = dict(CHIPS)
  for name, values in given.items() if isinstance(given, dict) else [("", None)]:
    numbers = isinstance(values, dict) and all(isinstance(v, (int, float)) and v >= 0 for v in values.values())
    if name not in CHIPS or not numbers or not set(values) <= {"dollars", "watts"}:
      raise ConfigError(f"--plan.prices={path}: expected " + '{"v5e": {"dollars": 1.2, "watts": 180}, ...}, of a chip and '
                        f"hour, of {', '.join(CHIPS)}; not {name!r}: {values!r}")
    chip = chips[name]
    chips[name] = dataclasses.replace(chip, **values, estimated=tuple(field for field in chip.estimated if field not in values),
                                      source=f"{path} ({', '.join(values)}); {chip.source}")
  return chips


def peak_flops(chip: Chip, precision: str) -> float | None:
  """Operations a second of products on one jax device, or None where it has no unit for them (or is measured)."""
  if not chip.kind:
    return None
  if precision == "bfloat16":
    return PEAKS[chip.kind].flops
  rate = chip.float64 if precision == "float64" else chip.float32
  return None if rate is None else rate / chip.devices
