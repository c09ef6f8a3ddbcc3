"""Names of devices, and prices."""

import json
import re

import pytest

from research import flops
from research.config import ConfigError
from research.planning import devices, topologies
from research.planning.devices import CHIPS, Device


@pytest.mark.parametrize("name,chips,jax_devices", [
    ("cpu", 1, 1), ("cpu:8", 8, 8), ("h100", 1, 1), ("h100:8", 8, 8), ("v5e", 1, 1), ("v5e:2x4", 8, 8), ("v5p", 4, 4),
    ("v5p:2x2x2", 8, 8), ("v3:2x2", 4, 8), ("tpu7x:2x2x1", 4, 8)])
def test_a_name_says_how_many(name, chips, jax_devices):
  device = devices.parse(name)
  assert (device.num_chips, device.num_devices) == (chips, jax_devices)
  assert devices.parse(device.name) == device


@pytest.mark.parametrize("name,says", [
    ("v5", "there is no such device. Did you mean"), ("h1000", 'Did you mean "h100"'), ("tpu", "there are host, v3, v4"),
    ("v5e:8", "written as v5e:1x1, v5e:2x2"), ("v5p:2x2", "written as v5p:2x2x1"), ("h100:2x4", "written as h100:8"),
    ("v5e:0x4", "written as")])
def test_what_does_not_exist_is_one_line(name, says):
  with pytest.raises(ConfigError, match=r"--plan\.device=") as error:
    devices.parse(name)
  assert says in str(error.value) and name in str(error.value) and "\n" not in str(error.value)


def test_slices_in_order():
  assert [d.name for d in devices.parse("v5e:2x4").smaller()] == ["v5e:1x1", "v5e:2x2"]
  assert devices.parse("v5e:8x16").larger() == (Device("v5e", (16, 16)),)
  assert all(chip.slices == tuple(sorted(chip.slices, key=lambda s: devices.parse(f"{name}:{s}").num_chips))
             for name, chip in CHIPS.items() if chip.slices)


def test_every_chip_has_its_figures_and_their_source():
  for name, chip in CHIPS.items():
    if chip.platform != "cpu":
      assert chip.kind in flops.PEAKS and chip.source and chip.memory > 0 and chip.link > 0, name
      assert devices.peak_flops(chip, "bfloat16") >= devices.peak_flops(chip, "float32"), name
      assert chip.dollars is not None and re.search(r"price: .*(20\d\d|catalog v8)", chip.source), name
      assert ("from memory" in chip.source) == bool(chip.estimated), name
  assert devices.peak_flops(CHIPS["v5e"], "float64") is None
  assert devices.peak_flops(CHIPS["tpu7x"], "float32") * 2 == 2307e12  # two devices a chip


def test_own_prices_take_the_place_of_the_list(tmp_path):
  file = tmp_path / "prices.json"
  file.write_text(json.dumps({"v5e": {"dollars": 0.5, "watts": 180}}))
  chips = devices.with_prices(str(file))
  assert (chips["v5e"].dollars, chips["v5e"].watts) == (0.5, 180) and str(file) in chips["v5e"].source
  assert chips["v5p"] == CHIPS["v5p"]
  file.write_text(json.dumps({"tpu7x": {"dollars": 9}}))
  assert CHIPS["tpu7x"].estimated == ("dollars",) and devices.with_prices(str(file))["tpu7x"].estimated == ()
  for wrong in ('{"v9": {"dollars": 1}}', '{"v5e": 1}', '{"v5e": {"euros": 1}}', '{"v5e": {"dollars": -1}}', "[1]", "{"):
    file.write_text(wrong)
    with pytest.raises(ConfigError, match=r"prices\.json"):
      devices.with_prices(str(file))


def test_a_missing_compiler_is_one_line_that_names_the_extra(monkeypatch):
  monkeypatch.setattr(topologies.importlib.util, "find_spec", lambda name: None)
  for name in ("v5e:2x4", "h100"):
    with pytest.raises(ConfigError, match=r"install the extra `plan`"):
      topologies.check(devices.parse(name))
  topologies.check(devices.parse("cpu"))
  topologies.check(devices.parse("host"))
