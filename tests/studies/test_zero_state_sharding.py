"""The formula's limits, and a small model whose bytes are counted by hand."""

import jax
import pytest
from parts import InMemory

from experiments import zero_state_sharding
from research import config
from research.studies.zero_state_sharding import zero_bytes


def test_one_device_gains_nothing_and_many_hold_only_what_is_whole():
  assert set(zero_bytes(1.0, 1).values()) == {16.0}
  assert list(zero_bytes(1.0, 10**9).values()) == pytest.approx([16, 4, 2, 0], abs=1e-6)


def test_small_model_holds_what_it_should():
  if jax.device_count() < 4:
    pytest.skip("needs 4 devices: XLA_FLAGS=--xla_force_host_platform_device_count=8")
  study = config.override(zero_state_sharding.experiment(), {"num_devices": 4, "num_matrices": 2, "dim": 64, "batch_size": 8})
  metrics = study.measure(1, InMemory()).metrics
  values = 2 * 64 * 64 / 2**20
  assert metrics["replicated_mib"] == 12 * values
  assert metrics["moments_mib"] == (4 + 8 / 4) * values
  assert metrics["all_mib"] == 12 / 4 * values
  assert metrics["update_difference"] < 1e-6


def test_sides_that_do_not_divide_are_refused():
  with pytest.raises(config.ConfigError, match="dim=100 must be a multiple of num_devices=8"):
    config.override(zero_state_sharding.experiment(), {"dim": 100})
